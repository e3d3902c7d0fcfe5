/* The data set: problems, subsets, buckets and the pictures with their captions. Texts are set as text, never as HTML. */
import(new URL("islands/page.js", document.baseURI)).then(({make, speaker, translate, count, write}) => {
  const say = speaker(props.words);
  const find = name => element.querySelector(name);
  const dialog = find("dialog");
  const AT_ONCE = 240;
  const BOX_PX = 84;
  let shown = 0;
  let open = -1;
  translate(element, say);

  const view = () => props.value || null;

  function draw() {
    find(".dataset").classList.toggle("waiting", !view());
    for (const part of [".overview", ".gallery"]) find(part).hidden = !view();
    if (!view()) return;
    const {problems, subsets, buckets, pictures} = view();
    find(".problems").replaceChildren(...problems.map(problem));
    find(".overview").hidden = !pictures.length;
    if (pictures.length) {
      find("table").replaceChildren(...table(subsets));
      find(".boxes").replaceChildren(...boxes(buckets));
    }
    gallery(pictures);
  }

  function problem(found) {
    return make("li", {class: found.level}, make("strong", {text: found.text}), make("p", {text: found.advice}));
  }

  function table(subsets) {
    const numbers = ["pictures", "repeats", "per_epoch", "captions"];
    const head = make("tr", {}, make("th", {text: say("folder")}), ...numbers.map(key => make("th", {class: "number", text: say(key)})));
    const sum = (key, of = subset => subset[key]) => subsets.reduce((total, subset) => total + of(subset), 0);
    const rows = subsets.map(subset => make("tr", {}, make("td", {class: "name", text: subset.name, title: subset.path}),
      number(subset.count), number(subset.repeats, "×"), number(subset.count * subset.repeats),
      make("td", {class: "number"}, make("span", {class: subset.captioned < subset.count ? "few" : "", text: share(subset)}))));
    const foot = make("tr", {}, make("td", {text: say("total")}), number(sum("count")), make("td"),
      number(sum("", subset => subset.count * subset.repeats)), number(sum("captioned")));
    return [make("thead", {}, head), make("tbody", {}, ...rows), ...(subsets.length > 1 ? [make("tfoot", {}, foot)] : [])];
  }

  const number = (value, sign = "") => make("td", {class: "number", text: sign + count(value)});
  const share = subset => subset.captioned < subset.count ? say("some", {count: subset.captioned, all: subset.count}) : count(subset.captioned);

  function boxes(buckets) {
    const longest = Math.max(...buckets.map(bucket => Math.max(bucket.w, bucket.h)));
    return buckets.map(bucket => {
      const box = make("i", {text: count(bucket.count)});
      box.style.width = `${Math.max(20, BOX_PX * bucket.w / longest)}px`;
      box.style.height = `${Math.max(20, BOX_PX * bucket.h / longest)}px`;
      return make("div", {class: "box", title: say("bucket", {count: bucket.count, width: bucket.w, height: bucket.h})},
        box, make("span", {text: `${bucket.w} × ${bucket.h}`}));
    });
  }

  function gallery(pictures) {
    shown = 0;
    find(".grid").replaceChildren();
    find(".gallery h3").hidden = !pictures.length;
    find(".more").className = pictures.length ? "more" : "more empty";
    find(".more").replaceChildren(...(pictures.length ? [] : [make("p", {text: say("empty")})]));
    more();
  }

  function more() {
    const pictures = view()?.pictures ?? [];
    if (shown >= pictures.length) return;
    const next = pictures.slice(shown, shown + AT_ONCE);
    find(".grid").append(...next.map((picture, i) => tile(picture, shown + i)));
    shown += next.length;
  }

  function tile(picture, index) {
    const image = make("img", {src: picture.thumb, alt: "", loading: "lazy", decoding: "async"});
    return make("button", {type: "button", class: "tile", title: picture.name, "aria-label": picture.name, on: {click: () => enlarge(index)}},
      make("span", {class: "frame"}, image),
      make("span", {class: picture.own ? "caption" : "caption borrowed", text: picture.caption || say("no_caption")}));
  }

  function enlarge(index) {
    const pictures = view().pictures;
    open = (index + pictures.length) % pictures.length;
    const picture = pictures[open];
    find("figure img").src = picture.large;
    find("figure img").alt = picture.caption;
    write(find("#picture-name"), picture.name);
    write(find(".facts"), say("facts", {width: picture.w, height: picture.h, number: open + 1, all: pictures.length}));
    find("textarea").value = picture.caption;
    find(".save").disabled = true;
    write(find(".state"), picture.own ? "" : say("borrowed"));
    if (!dialog.open) dialog.showModal();
  }

  async function save() {
    const picture = view().pictures[open];
    const text = find("textarea").value;
    const answer = await server.save_caption({path: picture.path, key: picture.key, text});
    write(find(".state"), answer.message);
    if (!answer.ok) return;
    Object.assign(picture, {caption: answer.caption, own: true});
    find(".save").disabled = true;
    find(".grid").children[open]?.replaceWith(tile(picture, open));
  }

  function keys(event) {
    if (event.target.matches("textarea")) {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
      return;
    }
    const move = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (move) enlarge(open + move);
  }

  find(".back").addEventListener("click", () => enlarge(open - 1));
  find(".next").addEventListener("click", () => enlarge(open + 1));
  find(".close").addEventListener("click", () => dialog.close());
  find(".save").addEventListener("click", save);
  find("textarea").addEventListener("input", () => { find(".save").disabled = false; write(find(".state"), ""); });
  dialog.addEventListener("keydown", keys);
  new IntersectionObserver(seen => seen.some(entry => entry.isIntersecting) && more(), {rootMargin: "600px"}).observe(find(".more"));
  watch("value", draw);
  draw();
});
