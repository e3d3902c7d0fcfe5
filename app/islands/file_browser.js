/* A dialog that shows the folders of this machine and fills a text field: `atelier:browse` with {id, kind} opens it. */
import(new URL("islands/page.js", document.baseURI)).then(({make, speaker, translate}) => {
  const say = speaker(props.words);
  const dialog = element.querySelector("dialog");
  const find = name => element.querySelector("." + name);
  const FOLDER = '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M2.5 5.5v10h15v-8h-8l-2-2z"/></svg>';
  const FILE = '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M5 2.5h6.5l3.5 3.5v11.5H5zM11.5 2.5V6H15"/></svg>';
  const FILES_ONLY = ["lora", "checkpoint"];
  const AT_ONCE = 200;
  let waiting = [];
  let kind = "folder";
  let target = null;
  let chosen = "";
  translate(element, say);

  function choose(path) {
    chosen = path;
    find("chosen").textContent = path;
    find("chosen").title = path;
    find("choose").disabled = !path;
  }

  function entry(icon, item, detail, click) {
    const button = make("button", {type: "button", title: item.path, on: {click}},
      make("span", {class: "name", text: item.name}), detail ? make("small", {text: detail}) : null);
    button.insertAdjacentHTML("afterbegin", icon);
    return make("li", {}, button);
  }

  function pick(event, path) {
    for (const other of element.querySelectorAll(".picked")) other.classList.remove("picked");
    event.currentTarget.classList.add("picked");
    choose(path);
  }

  function pictures(count) {
    if (!count) return "";
    return count === 1 ? say("picture") : say("pictures", {count: count.toLocaleString()});
  }

  function draw(found) {
    find("roots").replaceChildren(...found.roots.map(root =>
      make("button", {type: "button", text: root.label, title: root.path, on: {click: () => show(root.path)}})));
    const crumbs = found.crumbs.flatMap((crumb, i) => [i ? document.createTextNode("›") : null,
      make("button", {type: "button", text: crumb.name, title: crumb.path, on: {click: () => show(crumb.path)}})]);
    find("crumbs").replaceChildren(...crumbs.filter(Boolean));
    waiting = [
      ...found.folders.map(item => () => entry(FOLDER, item, pictures(item.pictures), () => show(item.path))),
      ...found.files.map(item => () => entry(FILE, item, item.size, event => pick(event, item.path)))];
    find("entries").replaceChildren();
    more();
    find("entries").scrollTop = 0;
    const empty = !found.folders.length && !found.files.length;
    const onlyFiles = FILES_ONLY.includes(kind);
    const here = onlyFiles ? "" : found.pictures ? say("here", {pictures: pictures(found.pictures)}) : empty ? say("empty") : "";
    find("message").textContent = found.message || (onlyFiles && empty ? say("no_files") : here);
    choose(onlyFiles ? "" : found.path);
  }

  /** Of thousands of entries those further down come when they are scrolled to. */
  function more() {
    find("entries").append(...waiting.splice(0, AT_ONCE).map(draw => draw()));
  }

  function scrolled() {
    const list = find("entries");
    if (waiting.length && list.scrollTop + 2 * list.clientHeight > list.scrollHeight) more();
  }

  async function show(path) {
    const found = JSON.parse(await server.listing_text({path, kind}));
    draw(found);
    (find("entries").querySelector("button") ?? find(chosen ? "choose" : "cancel")).focus();
  }

  function close() { dialog.close(); }

  function fill() {
    const input = target?.querySelector("input, textarea");
    if (input) {
      input.value = chosen;
      input.dispatchEvent(new Event("input", {bubbles: true}));
      input.focus();
    }
    close();
  }

  function arrows(event) {
    if (event.key === "Backspace") {
      const above = [...find("crumbs").querySelectorAll("button")].at(-2);
      if (above) { event.preventDefault(); above.click(); }
      return;
    }
    const move = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (!move) return;
    let buttons = [...find("entries").querySelectorAll("button")];
    if (move > 0 && document.activeElement === buttons.at(-1)) {
      more();
      buttons = [...find("entries").querySelectorAll("button")];
    }
    const next = buttons[buttons.indexOf(document.activeElement) + move];
    if (next) { event.preventDefault(); next.focus(); }
  }

  find("entries").addEventListener("scroll", scrolled, {passive: true});
  find("close").addEventListener("click", close);
  find("cancel").addEventListener("click", close);
  find("choose").addEventListener("click", fill);
  dialog.addEventListener("keydown", arrows);
  dialog.addEventListener("click", event => event.target === dialog && close());
  window.addEventListener("atelier:browse", event => {
    kind = event.detail.kind;
    target = document.getElementById(event.detail.id);
    element.querySelector("h2").textContent = say("title_" + kind);
    dialog.showModal();
    show(target?.querySelector("input, textarea")?.value ?? "");
  });
});
