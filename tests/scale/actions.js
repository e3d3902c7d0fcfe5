/* What a user does on every tab. `act` is done, and `until` holds once its result is there; `first` comes before, untimed.
   They stand in an order in which each finds what it needs. `made` says where things are. */
window.one = (selector) => [...document.querySelectorAll(selector)].find((each) => each.checkVisibility());
window.all = (selector) => [...document.querySelectorAll(selector)];
window.named = (selector, text) => window.all(selector).find((each) => each.textContent.includes(text));
window.key = (selector, name) => window.one(selector).dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
window.painted = (image) => Boolean(image?.complete && image.naturalWidth > 0);
window.enter = (selector, text) => {
  const field = window.one(selector);
  const type = field.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(type.prototype, "value").set.call(field, text);
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
/* When `until` held for the first time, as `at`, which comes later. */
window.seen = (until) => {
  const found = {};
  const look = () => requestAnimationFrame(() => { if (until()) requestAnimationFrame(() => { found.at = performance.now(); }); else look(); });
  look();
  return found;
};
window.before = {};
window.mark = (selector) => { window.before[selector] = window.one(selector)?.textContent; };
window.changed = (selector) => window.one(selector)?.textContent !== window.before[selector];

window.actions = [
  {
    name: "tab model, first",
    times: 1,
    act: () => {
      one('[role=tab][data-tab-id=model]').click();
    },
    until: () => one('#f-output-name'),
  },
  {
    name: "tab model",
    first: () => {
      one('[role=tab][data-tab-id=training]').click();
    },
    act: () => {
      one('[role=tab][data-tab-id=model]').click();
    },
    until: () => one('#f-output-name'),
  },
  {
    name: "tab training, first",
    times: 1,
    act: () => {
      one('[role=tab][data-tab-id=training]').click();
    },
    until: () => one('#f-training-epochs'),
  },
  {
    name: "tab training",
    first: () => {
      one('[role=tab][data-tab-id=model]').click();
    },
    act: () => {
      one('[role=tab][data-tab-id=training]').click();
    },
    until: () => one('#f-training-epochs'),
  },
  {
    name: "tab samples, first",
    times: 1,
    act: () => {
      one('[role=tab][data-tab-id=samples]').click();
    },
    until: () => one('#f-samples-prompts'),
  },
  {
    name: "tab samples",
    first: () => {
      one('[role=tab][data-tab-id=training]').click();
    },
    act: () => {
      one('[role=tab][data-tab-id=samples]').click();
    },
    until: () => one('#f-samples-prompts'),
  },
  {
    name: "a setting → marked",
    times: 1,
    first: () => {
      one('[role=tab][data-tab-id=training]').click();
    },
    act: () => {
      enter('#f-training-seed input', String(Date.now() % 999));
    },
    until: () => one('#changes .count')?.textContent,
  },
  {
    name: "epochs → plan line",
    act: () => {
      enter('#f-training-epochs input', String(11 + Date.now() % 80));
      mark('#plan');
    },
    until: () => changed('#plan'),
  },
  {
    name: "a preset is loaded",
    first: () => {
      enter('#f-training-epochs input', String(11 + Date.now() % 80));
      mark('#plan');
    },
    act: () => {
      one('#load-preset').click();
    },
    until: () => !one('#changes .count')?.textContent,
  },
  {
    name: "save as …",
    first: () => {
      one('#save-cancel')?.click();
    },
    act: () => {
      one('#save-preset').click();
    },
    until: () => one('#save-title'),
  },
  {
    name: "cancel",
    times: 1,
    act: () => {
      one('#save-cancel').click();
    },
    until: () => !one('#save-title'),
  },
  {
    name: "tab dataset, first",
    times: 1,
    act: () => {
      one('[role=tab][data-tab-id=dataset]').click();
    },
    until: () => one('#dataset-grid .tile'),
  },
  {
    name: "tab dataset",
    first: () => {
      one('[role=tab][data-tab-id=training]').click();
    },
    act: () => {
      one('[role=tab][data-tab-id=dataset]').click();
    },
    until: () => one('#dataset-grid .tile'),
  },
  {
    name: "data set, first time: something said",
    times: 1,
    act: () => {
      window.opening = performance.now();
      const whole = () => one('#dataset-overview tfoot')?.textContent.includes('5,000');
      const tile = () => /^\d{5}\./.test(one('#dataset-grid .tile')?.title) && painted(one('#dataset-grid .tile img'));
      window.saidAt = seen(() => one('#dataset-overview .being-read') ?? whole());
      window.tilesAt = seen(tile);
      window.wholeAt = seen(() => whole() && tile());
      enter('#f-dataset-folder input', made.pictures);
      return window.opening;
    },
    until: () => saidAt.at,
  },
  {
    name: "data set, first time: first pictures",
    times: 1,
    act: () => window.opening,
    until: () => tilesAt.at,
  },
  {
    name: "data set, opened for the first time",
    times: 1,
    act: () => window.opening,
    until: () => wholeAt.at,
  },
  {
    name: "data set, opened again",
    first: () => {
      enter('#f-dataset-folder input', 'starter');
    },
    act: () => {
      enter('#f-dataset-folder input', made.pictures);
    },
    until: () => one('#dataset-overview tfoot')?.textContent.includes('5,000') && painted(one('#dataset-grid .tile img')),
  },
  {
    name: "resolution → overview",
    act: () => {
      mark('#dataset-overview');
      enter('#f-dataset-resolution input', String(400 + 64 * (++window.n || (window.n = 1)) % 600));
    },
    until: () => changed('#dataset-overview'),
  },
  {
    name: "grid scrolled",
    act: () => {
      scrollBy(0, 4000);
    },
    until: () => painted(document.elementFromPoint(700, 500).closest('.tile')?.querySelector('img') ?? document.elementFromPoint(640, 440).closest('.tile')?.querySelector('img')),
  },
  {
    name: "picture enlarged",
    first: () => {
      one('#dataset-grid dialog')?.close();
    },
    act: () => {
      all('#dataset-grid .tile')[3].click();
    },
    until: () => painted(one('#dataset-grid figure img')),
  },
  {
    name: "next picture",
    act: () => {
      window.old = one('#dataset-grid figure img').src;
      one('#dataset-grid .step.next').click();
    },
    until: () => one('#dataset-grid figure img').src !== window.old && painted(one('#dataset-grid figure img')),
  },
  {
    name: "caption saved",
    first: () => {
      enter('#dataset-grid textarea', 'a cat ' + Date.now());
    },
    act: () => {
      one('#dataset-grid .save').click();
    },
    until: () => one('#dataset-grid .state')?.textContent.includes('.txt'),
  },
  {
    name: "a caption of 10 kB saved",
    first: () => {
      enter('#dataset-grid textarea', 'long, '.repeat(1650) + Date.now());
    },
    act: () => {
      one('#dataset-grid .save').click();
    },
    until: () => one('#dataset-grid .state')?.textContent.includes('.txt'),
  },
  {
    name: "closed",
    times: 1,
    act: () => {
      one('#dataset-grid dialog').close();
    },
    until: () => !one('#dataset-grid dialog'),
  },
  {
    name: "resolution after an edit",
    times: 1,
    act: () => {
      mark('#dataset-overview');
      enter('#f-dataset-resolution input', String(401 + 64 * (++window.n || (window.n = 1)) % 600));
    },
    until: () => changed('#dataset-overview'),
  },
  {
    name: "browser, 5,000 folders",
    first: () => {
      one('#file-browser dialog')?.close();
      enter('#f-dataset-folder input', made.crowd);
    },
    act: () => {
      all('#file-browser .entries').forEach((e) => e.replaceChildren());
      one('#f-dataset-folder .custom-button').click();
    },
    until: () => one('#file-browser .entries button'),
  },
  {
    name: "browser, into a folder",
    times: 1,
    act: () => {
      window.old = one('#file-browser .chosen').textContent;
      one('#file-browser .entries button').click();
    },
    until: () => one('#file-browser .chosen').textContent !== window.old,
  },
  {
    name: "browser, the data set",
    first: () => {
      one('#file-browser dialog')?.close();
      enter('#f-dataset-folder input', made.pictures);
    },
    act: () => {
      all('#file-browser .entries').forEach((e) => e.replaceChildren());
      one('#f-dataset-folder .custom-button').click();
    },
    until: () => one('#file-browser .entries button'),
  },
  {
    name: "browser, closed",
    times: 1,
    act: () => {
      one('#file-browser dialog').close();
    },
    until: () => !one('#file-browser dialog'),
  },
  {
    name: "tab run, first",
    times: 1,
    act: () => {
      one('[role=tab][data-tab-id=run]').click();
    },
    until: () => one('.runs li') && one('.run h2')?.textContent,
  },
  {
    name: "tab run",
    first: () => {
      one('[role=tab][data-tab-id=training]').click();
    },
    act: () => {
      one('[role=tab][data-tab-id=run]').click();
    },
    until: () => one('.runs li') && one('.run h2')?.textContent,
  },
  {
    name: "the list filtered",
    first: () => {
      enter('.runs .filter', '');
    },
    act: () => {
      enter('.runs .filter', String(100 + Date.now() % 300).slice(0, 2));
    },
    until: () => all('.runs li').filter((row) => row.checkVisibility()).length < 200,
  },
  {
    name: "the list unfiltered",
    times: 1,
    act: () => {
      enter('.runs .filter', '');
    },
    until: () => one('.runs li'),
  },
  {
    name: "the list scrolled",
    act: () => {
      one('.runs ul').scrollTop = 1e6;
    },
    until: () => true,
  },
  {
    name: "a run chosen",
    first: () => {
      named('.runs li button', 'run 102').click();
    },
    act: () => {
      named('.runs li button', 'run 101').click();
    },
    until: () => one('.run h2')?.textContent === 'run 101' && Number(one('.curves').dataset.points) > 300,
  },
  {
    name: "the long run chosen",
    first: () => {
      named('.runs li button', 'run 103').click();
    },
    act: () => {
      named('.runs li button', 'long').click();
    },
    until: () => one('.run h2')?.textContent === 'long' && Number(one('.curves').dataset.points) === 20000,
  },
  {
    name: "curve zoomed",
    act: () => {
      window.old = one('.curves').dataset.redrawMs;key('.curves', '+');
    },
    until: () => one('.curves').dataset.redrawMs !== window.old,
  },
  {
    name: "curve read",
    act: () => {
      window.old = one('.curves').dataset.redrawMs;one('.curves').dispatchEvent(new PointerEvent('pointermove', {clientX: one('.curves').getBoundingClientRect().left + 300 + 20 * Math.random(), clientY: 300}));
    },
    until: () => one('.curves').dataset.redrawMs !== window.old,
  },
  {
    name: "curve smoothed",
    act: () => {
      window.old = one('.curves').dataset.redrawMs;one('.smoothing').value = String(Math.random());
      one('.smoothing').dispatchEvent(new Event('input'));
    },
    until: () => one('.curves').dataset.redrawMs !== window.old,
  },
  {
    name: "curve logarithmic",
    act: () => {
      window.old = one('.curves').dataset.redrawMs;one('.logarithmic').click();
    },
    until: () => one('.curves').dataset.redrawMs !== window.old,
  },
  {
    name: "curve whole",
    first: () => {
      key('.curves', '+');
    },
    act: () => {
      window.old = one('.curves').dataset.redrawMs;one('.whole').click();
    },
    until: () => one('.curves').dataset.redrawMs !== window.old,
  },
  {
    name: "sample enlarged",
    first: () => {
      one('.lightbox')?.close();
    },
    act: () => {
      one('.thumb').click();
    },
    until: () => painted(one('.lightbox .lb-picture')),
  },
  {
    name: "next sample",
    act: () => {
      window.old = one('.lb-title').textContent + one('.lb-text').textContent;
      one('.lb-right').click();
    },
    until: () => one('.lb-title').textContent + one('.lb-text').textContent !== window.old && painted(one('.lb-picture')),
  },
  {
    name: "sample closed",
    times: 1,
    act: () => {
      one('.lightbox').close();
    },
    until: () => !one('.lightbox'),
  },
  {
    name: "log opened",
    first: () => {
      one('.log-card').open = false;
    },
    act: () => {
      one('.log-card').open = true;
    },
    until: () => one('.log-card pre')?.textContent,
  },
  {
    name: "the living run chosen",
    first: () => {
      named('.runs li button', 'run 104').click();
    },
    act: () => {
      named('.runs li button', 'living').click();
    },
    until: () => one('.run h2')?.textContent === 'living',
  },
  {
    name: "tab compare, first",
    times: 1,
    act: () => {
      one('[role=tab][data-tab-id=compare]').click();
    },
    until: () => one('.compare .first')?.options.length > 400,
  },
  {
    name: "tab compare",
    first: () => {
      one('[role=tab][data-tab-id=training]').click();
    },
    act: () => {
      one('[role=tab][data-tab-id=compare]').click();
    },
    until: () => one('.compare .first')?.options.length > 400,
  },
  {
    name: "samples of the long run",
    first: () => {
      { const s = one('.compare .first');
      s.value = [...s.options].find((o) => o.text.startsWith('run 100 ·')).value;
      s.dispatchEvent(new Event('change'));
      };
    },
    act: () => {
      { const s = one('.compare .first');
      s.value = [...s.options].find((o) => o.text.startsWith('long ·')).value;
      s.dispatchEvent(new Event('change'));
      };
    },
    until: () => all('.compare tbody tr').length >= 20 && painted(one('.compare .cell img')),
  },
  {
    name: "samples scrolled",
    act: () => {
      one('.compare .frame').scrollBy(900, 900);
      scrollBy(0, 900);
    },
    until: () => painted(document.elementFromPoint(800, 500)?.closest('td')?.querySelector('img') ?? one('.compare .cell img')),
  },
  {
    name: "samples zoomed",
    act: () => {
      one('.zoom').value = String(100 + 8 * Math.floor(20 * Math.random()));
      one('.zoom').dispatchEvent(new Event('input'));
    },
    until: () => getComputedStyle(one('.compare')).getPropertyValue('--zoom') === one('.zoom').value + 'px',
  },
  {
    name: "sample of the table enlarged",
    first: () => {
      one('.compare .lightbox')?.close();
    },
    act: () => {
      one('.compare .cell').click();
    },
    until: () => painted(one('.compare .lb-picture')),
  },
  {
    name: "next sample of the table",
    act: () => {
      window.old = one('.compare .lb-title').textContent;
      one('.compare .lb-down').click();
    },
    until: () => one('.compare .lb-title').textContent !== window.old && painted(one('.compare .lb-picture')),
  },
  {
    name: "closed",
    times: 1,
    act: () => {
      one('.compare .lightbox').close();
    },
    until: () => !one('.compare .lightbox'),
  },
  {
    name: "two samples compared",
    first: () => {
      one('.before-after')?.close();
      one('.compare .forget')?.click();
      all('.compare .pin')[0].click();
    },
    act: () => {
      all('.compare .pin')[1].click();
    },
    until: () => one('.before-after') && painted(one('.before-after img')),
  },
  {
    name: "closed",
    times: 1,
    act: () => {
      one('.before-after').close();
      one('.compare .forget').click();
    },
    until: () => !one('.before-after'),
  },
  {
    name: "beside a second run",
    first: () => {
      one('.compare .second').value = '';
      one('.compare .second').dispatchEvent(new Event('change'));
    },
    act: () => {
      { const s = one('.compare .second');
      s.value = [...s.options].find((o) => o.text.startsWith('run 101 ·')).value;
      s.dispatchEvent(new Event('change'));
      };
    },
    until: () => all('.compare .side').length || one('.compare table.pairs'),
  },
  {
    name: "tab tools, first",
    times: 1,
    act: () => {
      one('[role=tab][data-tab-id=tools]').click();
    },
    until: () => one('.bench .choices'),
  },
  {
    name: "tab tools",
    first: () => {
      one('[role=tab][data-tab-id=training]').click();
    },
    act: () => {
      one('[role=tab][data-tab-id=tools]').click();
    },
    until: () => one('.bench .choices'),
  },
  {
    name: "another tool",
    first: () => {
      one('.choices [data-tool=inspect]').click();
    },
    act: () => {
      one('.choices [data-tool=merge]').click();
    },
    until: () => one('#tool-merge form'),
  },
  {
    name: "inspect begun",
    times: 1,
    first: () => {
      one('.choices [data-tool=inspect]').click();
      enter('#tool-inspect input', 'nothing.safetensors');
    },
    act: () => {
      one('#tool-inspect .run').click();
    },
    until: () => one('#tool-inspect .problem, #tool-inspect .panel, #tool-inspect .work, #tool-inspect [role=alert]'),
  },
];
