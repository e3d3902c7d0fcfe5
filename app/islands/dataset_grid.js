/* The pictures of a data set with their captions. Texts are set as text, never as HTML. */
import(new URL("islands/page.js", document.baseURI)).then(({make, speaker, translate, write}) => {
  const say = speaker(props.words);
  const find = name => element.querySelector(name);
  const dialog = find("dialog");
  const AT_ONCE = 240;
  const WANTED_MS = 300;
  const ROWS_BEYOND = 4;
  const TILE_CHARACTERS = 160;
  const grid = find(".grid");
  const tiles = new Map();
  let told = null;
  let view = null;
  let open = -1;
  translate(element, say);

  const pathOf = picture => {
    const folder = view.folders[picture.folder];
    return folder + (folder.includes("\\") ? "\\" : "/") + picture.name;
  };
  const address = (picture, px) => "thumb?" + new URLSearchParams({path: pathOf(picture), key: picture.key, at: picture.at, px});

  function draw() {
    // A setting that changes no picture leaves what is shown, and where it is scrolled to, as it is.
    if (props.value && props.value === told) return;
    told = props.value;
    view = told ? JSON.parse(told) : null;
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
    tiles.get(at)?.classList.add("wanted");
    setTimeout(() => {
      const found = near(at);
      found?.classList.add("wanted");
      found?.scrollIntoView({block: "center"});
      found?.focus({preventScroll: true});
    }, WANTED_MS);
  }

  /** The tile of a picture, scrolled to where it is far away. */
  function near(at) {
    if (!tiles.has(at)) {
      const {top, height} = grid.getBoundingClientRect();
      scrollBy(0, top + (height * at) / view.pictures.length - innerHeight / 2);
      lay();
    }
    return tiles.get(at);
  }

  function gallery(pictures) {
    tiles.clear();
    grid.replaceChildren();
    find("h2").hidden = !pictures.length;
    find(".more").className = pictures.length ? "more" : "more empty";
    find(".more").replaceChildren(...(pictures.length ? [] : [make("p", {text: say("empty")})]));
    lay();
    // How high a row is, only a row can tell.
    lay();
  }

  /** Of thousands of pictures only the rows in sight are there, and a few around them. */
  function lay() {
    if (!view) return;
    const [from, to] = inSight(view.pictures.length);
    for (const [index, old] of tiles) {
      if (index >= from && index < to) continue;
      old.remove();
      tiles.delete(index);
    }
    let next = null;
    for (let index = to - 1; index >= from; index -= 1) {
      if (!tiles.has(index)) {
        tiles.set(index, tile(view.pictures[index], index));
        grid.insertBefore(tiles.get(index), next);
      }
      next = tiles.get(index);
    }
  }

  /** The first picture to show and the one after the last; empty space stands for all the others. */
  function inSight(count) {
    if (count <= AT_ONCE || !grid.clientWidth) {
      Object.assign(grid.style, {paddingTop: "", paddingBottom: ""});
      return [0, Math.min(count, AT_ONCE)];
    }
    const style = getComputedStyle(grid);
    const columns = style.gridTemplateColumns.split(" ").length;
    const height = (grid.firstElementChild?.offsetHeight ?? grid.clientWidth / columns + 40) + parseFloat(style.rowGap);
    const rows = Math.ceil(count / columns);
    const {top} = grid.getBoundingClientRect();
    const row = (y) => Math.min(rows, Math.max(0, Math.floor(y / height)));
    const [first, last] = [row(-top - ROWS_BEYOND * height), row(innerHeight - top + ROWS_BEYOND * height)];
    Object.assign(grid.style, {paddingTop: `${first * height}px`, paddingBottom: `${(rows - last) * height}px`});
    return [first * columns, Math.min(count, last * columns)];
  }

  function tile(picture, index) {
    const image = make("img", {src: address(picture, 256), alt: "", loading: "lazy", decoding: "async"});
    return make("button", {type: "button", class: "tile", title: picture.name, "aria-label": picture.name, on: {click: () => enlarge(index)}},
      make("span", {class: "frame"}, image),
      make("span", {class: picture.own ? "caption" : "caption borrowed", text: picture.caption.slice(0, TILE_CHARACTERS) || say("no_caption")}));
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
    find("textarea").readOnly = Boolean(picture.cut);
    if (picture.cut) whole(picture);
    find(".save").disabled = true;
    write(find(".state"), picture.own ? "" : say("borrowed"));
    if (!dialog.open) dialog.showModal();
  }

  const asked = (picture) => ({path: pathOf(picture), key: picture.key, all_lines: view.all_lines, ending: view.ending});

  /** A long caption comes whole only to who opens its picture. */
  async function whole(picture) {
    const text = await server.whole_caption(asked(picture));
    if (!text) return;
    Object.assign(picture, {caption: text, cut: false});
    if (view.pictures[open] !== picture) return;
    find("textarea").value = text;
    find("textarea").readOnly = false;
  }

  async function save() {
    const at = open;
    const picture = view.pictures[at];
    const text = find("textarea").value;
    const answer = await server.save_caption({...asked(picture), text});
    write(find(".state"), answer.message);
    if (!answer.ok) return false;
    Object.assign(picture, {caption: answer.caption, own: true});
    find(".save").disabled = true;
    told = null;
    const old = tiles.get(at);
    if (old) {
      tiles.set(at, tile(picture, at));
      old.replaceWith(tiles.get(at));
    }
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
  addEventListener("scroll", () => requestAnimationFrame(lay), {capture: true, passive: true});
  new ResizeObserver(() => requestAnimationFrame(lay)).observe(find(".dataset"));
  watch("value", draw);
  draw();
});
