// The form: what was typed is kept in the browser; ratios, seed, token count; sentences at the fields.
(() => {
  const KEY = "atelier.form.";
  const COUNT_AFTER_MS = 300;
  const LONGEST = 20000; // characters that a prompt may have; longer ones are not counted
  const find = atelier.find;
  let form = {};

  // Called by Gradio's events with the fields' names and values in the same order.
  atelier.remember = (tab, names, values) => {
    const now = Object.fromEntries(names.map((name, place) => [name, values[place]]));
    atelier.store(localStorage, KEY + tab, now);
    changed(now);
  };
  atelier.recall = (tab, names, values) => {
    const kept = atelier.stored(localStorage, KEY + tab, {});
    const back = names.map((name, place) => kept[name] ?? values[place]);
    changed(Object.fromEntries(names.map((name, place) => [name, back[place]])));
    return back;
  };

  const changed = (now) => {
    const recount = now.prompt !== form.prompt || now.model !== form.model;
    form = now;
    markRatio();
    if (recount) countLater();
  };

  // Ratios keep the area that the model was trained for.
  const markRatio = () => {
    for (const button of document.querySelectorAll("[data-ratio]")) {
      const [width, height] = sized(button);
      button.setAttribute("aria-pressed", String(width === form.width && height === form.height));
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
    if (ratio) {
      const [width, height] = sized(ratio);
      atelier.setNumber("t2i_width", width);
      atelier.setNumber("t2i_height", height);
    }
    const word = event.target.closest?.("[data-word]");
    if (word) addWord(word.dataset.word);
  });
  atelier.actions.swap = () => {
    const { width, height } = form;
    atelier.setNumber("t2i_width", height);
    atelier.setNumber("t2i_height", width);
  };
  atelier.actions["seed-random"] = () => atelier.setNumber("t2i_seed", -1);
  atelier.actions["seed-reuse"] = () => {
    const seed = atelier.lastSeed?.();
    if (seed != null) atelier.setNumber("t2i_seed", seed);
  };

  const addWord = (word) => {
    const box = find("#t2i_prompt textarea");
    const before = box.value.trimEnd();
    box.value = before ? `${before} ${word}` : word;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  // Tokens and unknown words, as the server counts them.
  let timer = 0;
  let asked = 0;
  const countLater = () => {
    clearTimeout(timer);
    timer = setTimeout(count, COUNT_AFTER_MS);
  };
  const count = async () => {
    const turn = ++asked;
    let answer = null;
    const text = form.prompt ?? "";
    if (form.model && text.length <= LONGEST) {
      try { answer = (await atelier.post("internal/tokens", { model: form.model, text })).body; } catch { /* no count, then */ }
    }
    if (turn === asked) showCount(answer?.limit ? answer : null);
  };
  const showCount = (answer) => {
    const block = find("#t2i_prompt");
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
    const note = find("#t2i_hint .unknown");
    if (note) note.textContent = answer?.unknown?.length ? `Not among this model's words: ${answer.unknown.join(", ")}.` : "";
  };

  // Sentences at the fields they are about: elem_id to sentence.
  atelier.markFields = (fields) => {
    document.querySelectorAll(".problem").forEach((old) => old.remove());
    document.querySelectorAll("[aria-invalid]").forEach((input) => {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    });
    let first = null;
    for (const [id, sentence] of Object.entries(fields)) {
      const block = document.getElementById(id);
      if (!block) continue;
      const note = document.createElement("p");
      note.className = "problem";
      note.id = `${id}_problem`;
      note.textContent = sentence;
      block.append(note);
      block.querySelectorAll("input, textarea").forEach((input) => {
        input.setAttribute("aria-invalid", "true");
        input.setAttribute("aria-describedby", note.id);
      });
      first ??= block;
    }
    first?.scrollIntoView({ block: "nearest" });
  };

  // Gradio pulls a typed number into its range without a word when the field is left; here the server says what is wrong.
  document.addEventListener("blur", (event) => {
    if (event.target.matches?.(".settings input[type=number]")) event.stopPropagation();
  }, true);
})();
