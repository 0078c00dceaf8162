// The rows of the Models tab: one for each model that is here, that can be added, or that is being fetched.
(() => {
  const KINDS = {
    checkpoint: "Models", controlnet: "ControlNets", "controlnet-union": "ControlNets", "t2i-adapter": "T2I-Adapters", "ip-adapter": "IP-Adapters",
    upscaler: "Upscalers", preprocessor: "Preprocessors",
  };
  const WORDS = { waiting: "Waiting for its turn", looking: "Asking the hub", fetching: "", checking: "Checking that it came whole", done: "Done", failed: "Failed", cancelled: "Stopped" };

  const make = (tag, classes, text, ...inside) => {
    const element = document.createElement(tag);
    if (classes) element.className = classes;
    if (text) element.textContent = text;
    element.append(...inside.filter(Boolean));
    return element;
  };
  const button = (text, classes, work, label) => {
    const made = make("button", `small ${classes}`, text);
    made.type = "button";
    if (label) made.setAttribute("aria-label", label);
    made.addEventListener("click", work);
    return made;
  };

  // Powers of ten, as disks and hubs have them.
  const size = (bytes) => {
    if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(bytes < 1e11 ? 1 : 0)} GB`;
    if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
    return bytes >= 1e3 ? `${Math.round(bytes / 1e3)} kB` : `${bytes} bytes`;
  };
  const duration = (seconds) => {
    if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s left`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min left`;
    return `${(seconds / 3600).toFixed(1)} h left`;
  };
  const facts = (list) => make("p", "facts", "", ...list.filter(Boolean).map((fact) => make("span", "", fact)));

  const kindOf = (model) => KINDS[model.kind] ?? model.kind;

  const here = (model) => {
    const row = make("article", model.reason ? "row broken" : "row");
    const head = make("div", "head", "", make("h4", "", model.name), model.bytes ? make("span", "size", size(model.bytes)) : null);
    const { missing } = model.components;
    row.append(head, facts([model.family_title, model.format, model.precision]));
    const place = make("p", "place", [model.folder, model.file].filter(Boolean).join("/"));
    place.title = `${model.root}/${place.textContent}`;
    row.append(place);
    if (model.note) row.append(make("p", "note", model.note));
    if (model.reason) row.append(make("p", "sentence", model.reason[0].toUpperCase() + model.reason.slice(1)));
    else if (missing.length) row.append(make("p", "note", `Not in it, and not needed: ${missing.join(", ")}.`));
    return row;
  };

  const entry = (source, downloads, work) => {
    const under = downloads.find((one) => one.entry === source.id && !["done", "cancelled", "failed"].includes(one.state));
    const row = make("article", "row offer");
    row.dataset.entry = source.id;
    const act = source.here ? make("span", "have", "Here") : button(under ? "Under way" : "Download", under ? "busy" : "", () => work(source), `Download ${source.title}`);
    if (under) act.disabled = true;
    const fits = source.memory_gb ? `fits ${source.memory_gb} GB cards` : "";
    const text = make("div", "text", "", make("h4", "", source.title), facts([source.family_title, size(source.bytes), source.licence, source.gated ? "licence to accept on the hub" : "", fits]), make("p", "note", source.sentence));
    row.append(text, act);
    return row;
  };

  // One download, whose parts are written anew while it goes on, so that its buttons stay under the pointer.
  class DownloadRow {
    constructor(download, act) {
      this.said = make("p", "said");
      this.bar = make("i");
      this.sentence = make("p", "sentence");
      this.sentence.setAttribute("role", "alert");
      const on = (name) => () => act(download.id, name);
      this.stop = button("Stop", "stop", on("cancel"), `Stop ${download.title}`);
      this.retry = button("", "retry", on("retry"));
      this.remove = button("", "remove", on("remove"));
      this.track = make("div", "bar", "", this.bar);
      this.track.setAttribute("role", "progressbar");
      this.track.setAttribute("aria-label", download.title);
      const head = make("div", "head", "", make("h4", "", download.title), make("span", "place", download.where));
      this.element = make("li", "download", "", make("div", "text", "", head, this.said, this.track, this.sentence), make("div", "deeds", "", this.stop, this.retry, this.remove));
    }

    show(download) {
      const { state, received, total, speed, seconds_left: left, sentence } = download;
      this.element.dataset.state = state;
      const busy = ["waiting", "looking", "fetching", "checking"].includes(state);
      const came = received && total ? `${size(received)} of ${size(total)}` : received ? size(received) : total ? size(total) : "";
      const parts = { fetching: [came, speed ? `${size(speed)}/s` : "", left != null && speed ? duration(left) : ""], failed: [WORDS.failed, came], cancelled: [WORDS.cancelled, came] };
      const done = [WORDS.done, total ? size(total) : "", download.checked ? "checked" : "", download.target];
      this.said.textContent = (download.cancelling ? ["Stopping"] : state === "done" ? done : parts[state] ?? [WORDS[state]]).filter(Boolean).join(" · ");
      const fraction = state === "done" ? 1 : total ? Math.min(1, received / total) : 0;
      this.bar.style.transform = `scaleX(${fraction})`;
      this.track.setAttribute("aria-valuenow", Math.round(fraction * 100));
      this.track.hidden = state === "done";
      this.sentence.hidden = state !== "failed";
      if (this.sentence.textContent !== sentence) this.sentence.textContent = sentence;
      this.stop.hidden = !busy;
      this.stop.disabled = download.cancelling;
      this.retry.hidden = !["failed", "cancelled"].includes(state);
      this.remove.hidden = busy;
      for (const [one, text] of [[this.retry, state === "cancelled" ? "Go on" : "Retry"], [this.remove, state === "done" ? "Clear" : "Remove"]]) {
        one.textContent = text;
        one.setAttribute("aria-label", `${text}: ${download.title}`);
      }
    }
  }

  atelier.modelRows = { make, button, size, here, entry, kindOf, DownloadRow };
})();
