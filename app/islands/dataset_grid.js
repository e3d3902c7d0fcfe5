/* The pictures of a data set with their captions. Texts are set as text, never as HTML. */
import(new URL("islands/page.js", document.baseURI)).then(({make, speaker, translate, write}) => {
  const say = speaker(props.words);
  const find = name => element.querySelector(name);
  const dialog = find("dialog");
  const AT_ONCE = 240;
  const WANTED_MS = 300;
  const FURTHER_MS = 100;
  const ROWS_BEYOND = 4;
  const TILE_CHARACTERS = 160;
  const grid = find(".grid");
  const tiles = new Map();
  let told = null;
  let view = null;
  // The picture that is enlarged, whatever the grid shows by now: its place, and how the program is asked about it.
  let open = -1;
  let shown = null;
  translate(element, say);

  const pathOf = picture => {
    const folder = view.folders[picture.folder];
    return folder + (folder.includes("\\") ? "\\" : "/") + picture.name;
  };
  const address = (picture, px) => "thumb?" + new URLSearchParams({path: pathOf(picture), key: picture.key, at: picture.at, ending: view.ending, px});

  function draw() {
    // A setting that changes no picture leaves what is shown, and where it is scrolled to, as it is.
    if (props.value && props.value === told) return;
    told = props.value;
    const before = view;
    view = told ? JSON.parse(told) : null;
    find(".dataset").classList.toggle("waiting", !view);
    find(".gallery").hidden = !view;
    if (!view) return;
    forget(before);
    if (shown) {
      open = view.pictures.findIndex(picture => pathOf(picture) === shown.ask.path);
      shown.picture = view.pictures[open] ?? shown.picture;
    }
    gallery();
    if (view.pictures.length < view.count) setTimeout(further, FURTHER_MS, view);
    showWanted();
  }

  /** Of thousands of pictures the first come with the data set, and all others once those are shown. */
  async function further(asking) {
    const {folders, pictures} = asking === view ? JSON.parse(await server.further_pictures(asking.ask)) : {};
    if (asking !== view || !pictures) return;
    const known = view.folders.length;
    view.folders.push(...folders);
    view.pictures.push(...pictures.map(picture => ({...picture, folder: picture.folder + known})));
    view.count = view.pictures.length;
    forget(null, tile => tile.tagName === "BUTTON");
    lay();
    showWanted();
  }

  /** Takes away the tiles that show no picture of now any more, or those that are not to be kept. */
  function forget(before, keep = (_, index) => same(before, index)) {
    for (const [index, old] of tiles) {
      if (!keep(old, index)) drop(index, old);
    }
  }

  /** What is still on its way for a tile that nobody sees any more would keep others waiting. */
  function drop(index, tile) {
    tile.querySelector("img")?.removeAttribute("src");
    tile.remove();
    tiles.delete(index);
  }

  function same(before, index) {
    const [old, now] = [before?.pictures[index], view.pictures[index]];
    return old && now && before.folders[old.folder] === view.folders[now.folder] &&
      JSON.stringify({...old, folder: 0}) === JSON.stringify({...now, folder: 0});
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
      scrollBy(0, top + (height * at) / view.count - innerHeight / 2);
      lay();
    }
    return tiles.get(at);
  }

  function gallery() {
    const none = !view.count && !view.reading;
    find("h2").hidden = !view.count;
    find(".more").className = none ? "more empty" : "more";
    find(".more").replaceChildren(...(none ? [make("p", {text: say("empty")})] : []));
    lay();
    // How high a row is, only a row can tell.
    lay();
  }

  /** Of thousands of pictures only the rows in sight are there, and a few around them. */
  function lay() {
    if (!view) return;
    const {from, to, sight} = inSight(view.count);
    for (const [index, old] of tiles) {
      if (index < from || index >= to) drop(index, old);
    }
    let last = null;
    for (let index = from; index < to; index += 1) {
      if (!tiles.has(index)) {
        // What is not lazy is asked for at once, and so before all that is.
        const soon = index >= sight[0] && index < sight[1];
        const added = tile(view.pictures[index], index, soon ? "eager" : "lazy");
        if (last) last.after(added); else grid.prepend(added);
        tiles.set(index, added);
      }
      last = tiles.get(index);
    }
  }

  /** The first picture to show and the one after the last, and those in `sight`; empty space stands for the others. */
  function inSight(count) {
    // While others are read, the first ones are to be seen soon.
    if (count <= (view.reading ? 0 : AT_ONCE) || !grid.clientWidth) {
      Object.assign(grid.style, {paddingTop: "", paddingBottom: ""});
      return {from: 0, to: Math.min(count, AT_ONCE), sight: [0, 0]};
    }
    const style = getComputedStyle(grid);
    const columns = style.gridTemplateColumns.split(" ").length;
    const height = (grid.firstElementChild?.offsetHeight ?? grid.clientWidth / columns + 40) + parseFloat(style.rowGap);
    const rows = Math.ceil(count / columns);
    const {top} = grid.getBoundingClientRect();
    const row = (y) => Math.min(rows, Math.max(0, Math.floor(y / height)));
    const [first, last] = [row(-top - ROWS_BEYOND * height), row(innerHeight - top + ROWS_BEYOND * height)];
    Object.assign(grid.style, {paddingTop: `${first * height}px`, paddingBottom: `${(rows - last) * height}px`});
    const sight = [row(-top) * columns, (row(innerHeight - top) + 1) * columns];
    return {from: first * columns, to: Math.min(count, last * columns), sight};
  }

  function tile(picture, index, loading) {
    if (!picture) return make("div", {class: "tile"}, make("span", {class: "frame"}), make("span", {class: "caption"}));
    const fetchpriority = loading === "eager" ? "high" : "low";
    const image = make("img", {fetchpriority, loading, src: address(picture, 256), alt: "", decoding: "async"});
    return make("button", {type: "button", class: "tile", title: picture.name, "aria-label": picture.name, on: {click: () => enlarge(index)}},
      make("span", {class: "frame"}, image),
      make("span", {class: picture.own ? "caption" : "caption borrowed", text: picture.caption.slice(0, TILE_CHARACTERS) || say("no_caption")}));
  }

  function enlarge(index) {
    const at = (index + view.count) % view.count;
    const picture = view.pictures[at];
    if (!picture) return;
    open = at;
    shown = {picture, ask: {path: pathOf(picture), key: picture.key, all_lines: view.all_lines, ending: view.ending}};
    find("figure img").src = address(picture, 1280);
    find("figure img").alt = picture.caption;
    write(find("#picture-name"), picture.name);
    write(find(".facts"), say("facts", {width: picture.w, height: picture.h, number: open + 1, all: view.count}));
    find("textarea").value = picture.caption;
    find("textarea").readOnly = Boolean(picture.cut);
    find(".save").disabled = true;
    state(picture.own ? "" : say("borrowed"));
    if (picture.cut) whole(shown);
    if (!dialog.open) dialog.showModal();
  }

  function state(text, ok = true) {
    write(find(".state"), text);
    find(".state").classList.toggle("wrong", !ok);
  }

  /** A long caption comes whole only to who opens its picture. */
  async function whole(asking) {
    const text = await server.whole_caption(asking.ask);
    if (!text) return shown === asking && state(say("unread"), false);
    Object.assign(asking.picture, {caption: text, cut: false});
    if (shown !== asking) return;
    find("textarea").value = text;
    find("textarea").readOnly = false;
  }

  async function save() {
    const saving = shown;
    const text = find("textarea").value;
    const answer = await server.save_caption({...saving.ask, text}) ?? {ok: false, message: say("unsaved")};
    const isShown = shown === saving;
    if (isShown) state(answer.message, answer.ok);
    if (!answer.ok) return false;
    const {picture} = saving;
    Object.assign(picture, {caption: answer.caption, own: true});
    // What was typed meanwhile is still to be saved.
    if (isShown) find(".save").disabled = find("textarea").value === text;
    told = null;
    const at = view.pictures.indexOf(picture);
    const old = tiles.get(at);
    if (old) {
      tiles.set(at, tile(picture, at, "eager"));
      old.replaceWith(tiles.get(at));
    }
    return true;
  }

  /** Saves what was typed; whether nothing is left to save. */
  const kept = async () => find(".save").disabled || (await save() && find(".save").disabled);

  /** To the next picture; what was typed for this one is kept first. */
  async function step(move) {
    if (await kept()) enlarge(open < 0 && move < 0 ? -1 : open + move);
  }

  /** Away from the pictures; what was typed is kept first. Where that has failed and was said, away all the same. */
  async function leave(event) {
    event.preventDefault();
    const leaving = shown;
    const hasFailed = find(".state").classList.contains("wrong");
    if ((hasFailed || await kept()) && shown === leaving) dialog.close();
  }

  function keys(event) {
    if (event.target.matches("textarea")) {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !find(".save").disabled) save();
      return;
    }
    const move = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (move) step(move);
  }

  find(".back").addEventListener("click", () => step(-1));
  find(".next").addEventListener("click", () => step(1));
  find(".close").addEventListener("click", leave);
  dialog.addEventListener("cancel", leave);
  find(".save").addEventListener("click", save);
  find("textarea").addEventListener("input", () => { find(".save").disabled = false; state(""); });
  dialog.addEventListener("keydown", keys);
  dialog.addEventListener("close", () => {
    shown = null;
    tiles.get(open)?.focus({preventScroll: true});
  });
  window.addEventListener("atelier:picture", showWanted);
  addEventListener("scroll", () => requestAnimationFrame(lay), {capture: true, passive: true});
  new ResizeObserver(() => requestAnimationFrame(lay)).observe(find(".dataset"));
  watch("value", draw);
  draw();
});
