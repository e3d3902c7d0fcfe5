/* The pictures of a data set with their captions. Texts are set as text, never as HTML. */
import(new URL("islands/page.js", document.baseURI)).then(({make, speaker, translate, write}) => {
  const say = speaker(props.words);
  const find = name => element.querySelector(name);
  const dialog = find("dialog");
  const AT_ONCE = 240;
  const WANTED_MS = 300;
  let view = null;
  let shown = 0;
  let open = -1;
  translate(element, say);

  const pathOf = picture => {
    const folder = view.folders[picture.folder];
    return folder + (folder.includes("\\") ? "\\" : "/") + picture.name;
  };
  const address = (picture, px) => "thumb?" + new URLSearchParams({path: pathOf(picture), key: picture.key, at: picture.at, px});

  function draw() {
    view = props.value ? JSON.parse(props.value) : null;
    find(".dataset").classList.toggle("waiting", !view);
    find(".gallery").hidden = !view;
    if (view) gallery(view.pictures);
    showWanted();
  }

  /** Leads to the picture at which a training has failed, once the data set that it belongs to is there. */
  function showWanted() {
    const wanted = window.atelier.picture;
    const at = wanted ? view?.pictures.findIndex(picture => pathOf(picture) === wanted) ?? -1 : -1;
    if (at < 0) return;
    window.atelier.picture = "";
    while (shown <= at) more();
    const found = find(".grid").children[at];
    found.classList.add("wanted");
    setTimeout(() => {
      found.scrollIntoView({block: "center"});
      found.focus({preventScroll: true});
    }, WANTED_MS);
  }

  function gallery(pictures) {
    shown = 0;
    find(".grid").replaceChildren();
    find("h2").hidden = !pictures.length;
    find(".more").className = pictures.length ? "more" : "more empty";
    find(".more").replaceChildren(...(pictures.length ? [] : [make("p", {text: say("empty")})]));
    more();
  }

  function more() {
    const pictures = view?.pictures ?? [];
    if (shown >= pictures.length) return;
    const next = pictures.slice(shown, shown + AT_ONCE);
    find(".grid").append(...next.map((picture, i) => tile(picture, shown + i)));
    shown += next.length;
  }

  function tile(picture, index) {
    const image = make("img", {src: address(picture, 256), alt: "", loading: "lazy", decoding: "async"});
    return make("button", {type: "button", class: "tile", title: picture.name, "aria-label": picture.name, on: {click: () => enlarge(index)}},
      make("span", {class: "frame"}, image),
      make("span", {class: picture.own ? "caption" : "caption borrowed", text: picture.caption || say("no_caption")}));
  }

  function enlarge(index) {
    const pictures = view.pictures;
    open = (index + pictures.length) % pictures.length;
    const picture = pictures[open];
    find("figure img").src = address(picture, 1280);
    find("figure img").alt = picture.caption;
    write(find("#picture-name"), picture.name);
    write(find(".facts"), say("facts", {width: picture.w, height: picture.h, number: open + 1, all: pictures.length}));
    find("textarea").value = picture.caption;
    find(".save").disabled = true;
    write(find(".state"), picture.own ? "" : say("borrowed"));
    if (!dialog.open) dialog.showModal();
  }

  async function save() {
    const at = open;
    const picture = view.pictures[at];
    const text = find("textarea").value;
    const answer = await server.save_caption({path: pathOf(picture), key: picture.key, text, all_lines: view.all_lines, ending: view.ending});
    write(find(".state"), answer.message);
    if (!answer.ok) return false;
    Object.assign(picture, {caption: answer.caption, own: true});
    find(".save").disabled = true;
    find(".grid").children[at]?.replaceWith(tile(picture, at));
    return true;
  }

  /** To the next picture; what was typed for this one is kept first. */
  async function step(move) {
    if (find(".save").disabled || await save()) enlarge(open + move);
  }

  function keys(event) {
    if (event.target.matches("textarea")) {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
      return;
    }
    const move = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (move) step(move);
  }

  find(".back").addEventListener("click", () => step(-1));
  find(".next").addEventListener("click", () => step(1));
  find(".close").addEventListener("click", () => dialog.close());
  find(".save").addEventListener("click", save);
  find("textarea").addEventListener("input", () => { find(".save").disabled = false; write(find(".state"), ""); });
  dialog.addEventListener("keydown", keys);
  window.addEventListener("atelier:picture", showWanted);
  new IntersectionObserver(seen => seen.some(entry => entry.isIntersecting) && more(), {rootMargin: "600px"}).observe(find(".more"));
  watch("value", draw);
  draw();
});
