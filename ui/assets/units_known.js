// What there is to control with: preprocessors and models as the server knows them, asked for when units are looked at first.
(() => {
  const ALL = "All";
  const listeners = new Set();
  let state = { known: null, problem: null, asking: false };

  const tell = (next) => {
    state = { ...state, ...next };
    listeners.forEach((listener) => listener());
  };

  const ask = async () => {
    if (state.asking) return;
    tell({ asking: true, problem: null });
    const answer = await atelier.get("internal/controls").catch(() => null);
    tell(answer?.ok ? { asking: false, known: answer.body } : { asking: false, problem: "The preprocessors and models could not be listed, as Atelier does not answer." });
  };

  atelier.controls = {
    ALL,
    get state() { return state; },
    // Returns what ends it.
    heard: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    // Ask, unless that was done already.
    look: () => (state.known ? null : ask()),
    // The library may hold other models now.
    again: () => (state.known ? ask() : null),
    retry: ask,

    types: () => [ALL, ...Object.keys(state.known?.types ?? {}).filter((type) => type !== ALL)],
    preprocessor: (name) => state.known?.preprocessors.find((row) => row.name === name) ?? null,
    model: (name) => state.known?.models.find((row) => row.name === name) ?? null,
    // The type under which a unit is found again: that of its preprocessor.
    typeOf: (name) => {
      const group = atelier.controls.preprocessor(name)?.group;
      return state.known?.types[group] ? group : ALL;
    },

    // What stands as the preprocessor of models that look at the pictures themselves.
    forPictures: (none) => state.known?.types["IP-Adapter"]?.default_preprocessor || none,

    // Preprocessors by group; the one that reads nothing stands before them.
    preprocessors: (type, none) => {
      const rows = state.known?.preprocessors ?? [];
      const named = type === ALL ? null : state.known?.types[type]?.preprocessors;
      const groups = new Map();
      for (const row of rows) {
        if (row.name === none || (named && !named.includes(row.name))) continue;
        groups.set(row.group, [...(groups.get(row.group) ?? []), { value: row.name, text: row.ready ? row.title : `${row.title} (not here yet)` }]);
      }
      const first = { value: none, text: rows.find((row) => row.name === none)?.title ?? "None" };
      const headed = [...groups].map(([group, options]) => [named || group === ALL ? null : group, options]);
      return [[null, [first]], ...headed];
    },

    // Why a model cannot be used with models of that family; empty where it can.
    whyNot: (row, family, titles) => {
      if (row.problem) return row.problem;
      return row.families.includes(family) ? "" : `for ${row.families.map((id) => titles[id] ?? id).join(" or ")}`;
    },

    // Models that fit, and those that do not with the reason.
    models: (type, family, titles) => {
      const named = type === ALL ? null : state.known?.types[type]?.models;
      const rows = (state.known?.models ?? []).filter((row) => !named || named.includes(row.name));
      const seen = rows.map((row) => ({ value: row.name, text: row.name, off: atelier.controls.whyNot(row, family, titles) }));
      const off = seen.filter((model) => model.off).map((model) => ({ ...model, text: `${model.text} · ${model.off}` }));
      return [[null, [{ value: "", text: "None" }, ...seen.filter((model) => !model.off)]], ...(off.length ? [["Not for the chosen model", off]] : [])];
    },

    // What a type begins with.
    beginning: (type, family, titles, none) => {
      const row = state.known?.types[type];
      if (!row) return { preprocessor: none, model: "" };
      const fits = (name) => atelier.controls.model(name) && !atelier.controls.whyNot(atelier.controls.model(name), family, titles);
      const model = [row.default_model, ...row.models].find((name) => name && fits(name)) ?? "";
      return { preprocessor: row.default_preprocessor || none, model };
    },
  };
})();
