// The form: what was typed is kept in the browser; ratios, seed, token count; sentences at the fields.
(() => {
  const KEY = "atelier.form.";
  const MODEL = "atelier.model"; // one for all forms: they share the picker
  const COUNT_AFTER_MS = 300;
  const LONGEST = 20000; // characters that a prompt may have; longer ones are not counted
  const find = atelier.find;
  const forms = {}; // by prefix, as far as they are known

  // Which form something on the page belongs to: the prefix of its elem_ids.
  atelier.prefixOf = (element) => element.closest(".work").id.replace(/_work$/, "");

  // Called by Gradio's events with the fields' names and values in the same order.
  atelier.remember = (prefix, names, values) => {
    const now = Object.fromEntries(names.map((name, place) => [name, values[place]]));
    const { model, ...kept } = now;
    atelier.store(localStorage, KEY + prefix, kept);
    if (model !== undefined) atelier.store(localStorage, MODEL, model); // not every form has one
    changed(prefix, now);
  };
  // For all forms at once: a name is "model", or the form's prefix and the field's name.
  atelier.recall = (names, values) => {
    const kept = {};
    const now = {};
    const model = atelier.stored(localStorage, MODEL, null) ?? values[names.indexOf("model")];
    const back = names.map((name, place) => {
      if (name === "model") return model;
      const [prefix, field] = name.split(":");
      kept[prefix] ??= atelier.stored(localStorage, KEY + prefix, {});
      now[prefix] ??= { model };
      now[prefix][field] = kept[prefix][field] ?? values[place];
      return now[prefix][field];
    });
    for (const [prefix, form] of Object.entries(now)) changed(prefix, form);
    return back;
  };

  const changed = (prefix, now) => {
    const before = forms[prefix] ?? {};
    forms[prefix] = now;
    markRatio(prefix);
    if (now.prompt !== before.prompt || now.model !== before.model) countLater(prefix);
  };

  // A tab is built when it is opened first.
  document.addEventListener("tabopened", () => {
    setTimeout(() => {
      for (const prefix of Object.keys(forms)) {
        if (!document.getElementById(`${prefix}_prompt`)?.offsetParent) continue;
        markRatio(prefix);
        countLater(prefix);
      }
    });
  });

  // Ratios keep the area that the model was trained for.
  const markRatio = (prefix) => {
    for (const button of document.querySelectorAll(`#${prefix}_ratios [data-ratio]`)) {
      const [width, height] = sized(button);
      button.setAttribute("aria-pressed", String(width === forms[prefix].width && height === forms[prefix].height));
    }
  };
  const sized = (button) => {
    const { area, step } = button.closest("[data-area]").dataset;
    const [across, down] = button.dataset.ratio.split(":").map(Number);
    const width = Math.sqrt((area * across) / down);
    const rounded = (pixels) => Math.min(2048, Math.max(64, Math.round(pixels / step) * step));
    return [rounded(width), rounded((width * down) / across)];
  };
  document.addEventListener("click", (event) => {
    const ratio = event.target.closest?.("[data-ratio]");
    if (ratio) resize(atelier.prefixOf(ratio), ...sized(ratio));
    const word = event.target.closest?.("[data-word]");
    if (word) addWord(atelier.prefixOf(word), word.dataset.word);
  });
  const resize = (prefix, width, height) => {
    atelier.setNumber(`${prefix}_width`, width);
    atelier.setNumber(`${prefix}_height`, height);
  };
  atelier.actions.swap = (button) => {
    const prefix = atelier.prefixOf(button);
    const { width, height } = forms[prefix];
    resize(prefix, height, width);
  };
  atelier.actions["seed-random"] = (button) => atelier.setNumber(`${atelier.prefixOf(button)}_seed`, -1);
  atelier.actions["seed-reuse"] = (button) => {
    const prefix = atelier.prefixOf(button);
    const seed = atelier.lastSeed[prefix]?.();
    if (seed != null) atelier.setNumber(`${prefix}_seed`, seed);
  };

  const addWord = (prefix, word) => {
    const box = find(`#${prefix}_prompt textarea`);
    const before = box.value.trimEnd();
    box.value = before ? `${before} ${word}` : word;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  // Tokens and unknown words, as the server counts them.
  const timers = {};
  const turns = {};
  const countLater = (prefix) => {
    clearTimeout(timers[prefix]);
    timers[prefix] = setTimeout(count, COUNT_AFTER_MS, prefix);
  };
  const count = async (prefix) => {
    const { model, prompt } = forms[prefix];
    const text = prompt ?? "";
    if (!document.getElementById(`${prefix}_prompt`)) return;
    const turn = turns[prefix] = (turns[prefix] ?? 0) + 1;
    let answer = null;
    if (model && text.length <= LONGEST) {
      try { answer = (await atelier.post("internal/tokens", { model, text })).body; } catch { /* no count, then */ }
    }
    if (turn === turns[prefix]) showCount(prefix, answer?.limit ? answer : null);
  };
  const showCount = (prefix, answer) => {
    const block = document.getElementById(`${prefix}_prompt`);
    if (!block) return;
    let place = block.querySelector(".tokens");
    if (!place) {
      place = document.createElement("span");
      place.className = "tokens";
      block.append(place);
    }
    place.textContent = answer ? `${answer.count}/${answer.limit}` : "";
    place.classList.toggle("over", Boolean(answer && answer.count > answer.limit));
    place.title = answer ? `${answer.count} of ${answer.limit} tokens` : "";
    const note = find(`#${prefix}_hint .unknown`);
    if (note) note.textContent = answer?.unknown?.length ? `Not among this model's words: ${answer.unknown.join(", ")}.` : "";
  };

  // Sentences at the fields of one form, and at the picker: elem_id to sentence.
  atelier.markFields = (work, fields) => {
    for (const place of [work, find("#model_picker")].filter(Boolean)) {
      place.querySelectorAll(".problem").forEach((old) => old.remove());
      place.querySelectorAll("[aria-invalid]").forEach((input) => {
        input.removeAttribute("aria-invalid");
        input.removeAttribute("aria-describedby");
      });
    }
    let first = null;
    for (const [id, sentence] of Object.entries(fields)) {
      const block = placeOf(id);
      if (!block) continue;
      const note = document.createElement("p");
      note.className = "problem";
      note.id = `${id}_problem`;
      note.textContent = sentence;
      block.append(note);
      if (block.id === id) block.querySelectorAll("input, textarea, select").forEach((input) => {
        input.setAttribute("aria-invalid", "true");
        input.setAttribute("aria-describedby", note.id);
      });
      first ??= block;
    }
    first?.scrollIntoView({ block: "nearest" });
  };

  // The field of that id. Units unfold for theirs, and "t2i_controls.0.mask" may also be said at the unit, or at all of them.
  const placeOf = (id) => {
    const block = document.getElementById(id);
    block?.dispatchEvent(new Event("marked", { bubbles: true }));
    if (!id.includes(".") || (block && atelier.isShown(block))) return block;
    return placeOf(id.slice(0, id.lastIndexOf(".")));
  };

  // What Generate sends: the mask is handed over now, and its name takes the canvas's place among the values.
  atelier.painted = async (id, place, values) => {
    const canvas = atelier.canvases[id];
    return canvas ? values.with(place, await canvas.ready()) : values;
  };

  // The pixels on each side were typed or drawn with a slider. The canvas can show whole steps only.
  atelier.grow = (id, [left, top, right, bottom]) => {
    const canvas = atelier.canvases[id];
    const wanted = { left, top, right, bottom };
    canvas?.setGrow(wanted, false);
    const { grow } = canvas?.value() ?? {};
    if (grow && Object.keys(wanted).every((side) => grow[side] === wanted[side])) canvas.setGrow(wanted);
  };

  // Gradio pulls a typed number into its range without a word when the field is left; here the server says what is wrong.
  document.addEventListener("blur", (event) => {
    if (event.target.matches?.(".settings input[type=number]")) event.stopPropagation();
  }, true);
})();
