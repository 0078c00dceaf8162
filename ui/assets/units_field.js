// The small parts of a unit: sliders as the rest of the page has them, choices, lists.
(() => {
  const put = (element, name, value) => {
    if (element[name] !== value) element[name] = value;
  };
  atelier.putOn = put;

  // A number with its slider. `told` is called with what was typed or drawn; null where the field is empty.
  atelier.unitSlider = (place, { label, min, max, step }, told) => {
    const id = `${place.id}_number`;
    place.classList.add("slider");
    place.innerHTML = `<div class="head"><label></label><input type="number"></div><input type="range">`;
    const [number, range] = place.querySelectorAll("input");
    const name = place.querySelector("label");
    name.textContent = label;
    name.htmlFor = number.id = id;
    range.setAttribute("aria-label", `${label}, slider`);
    for (const input of [number, range]) Object.assign(input, { min, max, step });
    number.step = "any"; // what was typed goes in as it is; the server says what is wrong with it
    number.addEventListener("input", () => told(number.value === "" ? null : Number(number.value)));
    range.addEventListener("input", () => told(Number(range.value)));
    return (value) => {
      if (document.activeElement !== number) put(number, "value", String(value ?? ""));
      put(range, "value", String(value ?? min));
      range.style.setProperty("--range_progress", `${(100 * (Math.min(max, Math.max(min, value ?? min)) - min)) / (max - min)}%`);
    };
  };

  // A choice of few, all of them in sight.
  atelier.unitChips = (place, name, values, told) => {
    const made = values.map((value) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "radio", name, value });
      input.addEventListener("change", () => told(value));
      label.append(input, Object.assign(document.createElement("span"), { textContent: value }));
      return label;
    });
    place.querySelector(".wrap").replaceChildren(...made);
    return (value) => made.forEach((label) => put(label.firstChild, "checked", label.firstChild.value === value));
  };

  const option = ({ value, text, off }) => Object.assign(document.createElement("option"), { value, textContent: text, disabled: Boolean(off), title: off ?? "" });

  // A list to choose from: [heading or null, [{ value, text, off: why it cannot be chosen }]]. What is chosen stays in it, known or not.
  atelier.unitList = (select, groups, value, unknown) => {
    const there = groups.some(([, options]) => options.some((one) => one.value === value));
    const whole = there ? groups : [[null, [{ value, text: unknown(value) }]], ...groups];
    const written = JSON.stringify(whole);
    if (select.written !== written) {
      select.written = written;
      select.replaceChildren(...whole.flatMap(([heading, options]) => {
        if (!heading) return options.map(option);
        const group = Object.assign(document.createElement("optgroup"), { label: heading });
        group.append(...options.map(option));
        return [group];
      }));
    }
    put(select, "value", value);
  };
})();
