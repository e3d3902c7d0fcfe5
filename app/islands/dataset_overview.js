/* What a data set is made of: problems, subsets and the sizes that pictures are cut to. */
import(new URL("islands/page.js", document.baseURI)).then(({make, speaker, translate, count, write}) => {
  const say = speaker(props.words);
  const find = name => element.querySelector(name);
  const BOX_PX = 84;
  translate(element, say);

  function draw() {
    const view = props.value ? JSON.parse(props.value) : null;
    find(".dataset").classList.toggle("waiting", !view);
    find(".overview").hidden = !view?.subsets?.length;
    find(".problems").hidden = !view?.problems;
    soFar(view?.reading);
    if (!view?.subsets) return;
    find(".problems").replaceChildren(...view.problems.map(problem));
    if (!view.subsets.length) return;
    find("table").replaceChildren(...table(view.subsets));
    find(".boxes").replaceChildren(...boxes(view.buckets));
  }

  /** How far the reading of a data set has come; form.js looks for what is called `being-read`, and asks again. */
  function soFar(reading) {
    const shown = find(".so-far");
    shown.hidden = !reading;
    shown.classList.toggle("being-read", Boolean(reading));
    if (!reading) return;
    write(shown.querySelector("p"), reading.text);
    Object.assign(shown.querySelector("progress"), {max: reading.count || 1, value: reading.read});
  }

  /** With a button that mends it, or, at the last one of a setting that is not right above, one that leads there. */
  function problem(found, index, all) {
    const mend = () => window.atelier.type(found.setting, found.mend);
    const leads = found.setting !== "dataset.folder" && all[index + 1]?.setting !== found.setting;
    const button = found.mend ? make("button", {type: "button", text: say("mend"), on: {click: mend}})
      : leads && make("button", {type: "button", text: say("go"), "data-go": found.setting});
    return make("li", {class: found.level}, make("strong", {text: found.text}), make("p", {text: found.advice}), button);
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
  const share = subset => subset.captioned < subset.count ? say("some", {count: count(subset.captioned), all: count(subset.count)}) : count(subset.captioned);

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

  watch("value", draw);
  draw();
});
