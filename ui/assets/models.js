// The Models tab: asks for what is here, for what can be added and how downloads get on, while it is in sight.
(() => {
  const { make, size, here, entry, kindOf, DownloadRow } = atelier.modelRows;
  const BUSY_MS = 700;
  const IDLE_MS = 4000;
  const LOOK_MS = 250; // whether the tab is in sight
  const UNDER_WAY = ["waiting", "looking", "fetching", "checking"];
  const ALL = "All";
  const NO_ANSWER = "Atelier does not answer, so the list may be old. Is it still running?";
  let view = null;

  class ModelsView {
    constructor(root) {
      this.root = root;
      this.models = null;
      this.catalogue = null;
      this.state = null;
      this.kind = ALL;
      this.rows = new Map(); // downloads by id
      this.asked = 0;
      this.open = new Map(); // groups of the catalogue that somebody unfolded or folded
      this.listen();
    }

    find(selector) { return this.root.querySelector(selector); }

    listen() {
      this.find(".no-answer .again").addEventListener("click", () => this.load());
      this.find(".search input").addEventListener("input", () => this.drawHere());
      this.find(".by-hand").addEventListener("submit", (event) => { event.preventDefault(); this.lookUp(); });
      this.find(".token form").addEventListener("submit", (event) => { event.preventDefault(); this.keepToken(this.find(".token input").value); });
      this.find(".token .forget").addEventListener("click", () => this.keepToken(""));
      const dialog = this.find(".confirm");
      dialog.querySelector(".cancel").addEventListener("click", () => dialog.close());
      dialog.querySelector(".use").addEventListener("click", () => this.confirmed());
    }

    // Runs as long as this view is on the page; asks only while it is in sight.
    async look() {
      if (view !== this || !this.root.isConnected) return;
      const shown = !document.hidden && atelier.isShown(this.root);
      const busy = this.state?.downloads.some((one) => UNDER_WAY.includes(one.state));
      if (shown && Date.now() - this.asked >= (busy ? BUSY_MS : IDLE_MS)) await (this.models && this.shown ? this.follow() : this.load());
      this.shown = shown;
      setTimeout(() => this.look(), LOOK_MS);
    }

    async load() {
      this.asked = Date.now();
      const answers = await Promise.all(["api/models", "internal/downloads/catalogue", "internal/downloads"].map((one) => atelier.get(one).catch(() => null)));
      this.answered(answers.every((answer) => answer?.ok));
      if (!answers.every((answer) => answer?.ok)) return;
      [this.models, this.catalogue, this.state] = answers.map((answer) => answer.body);
      this.drawHere();
      this.drawState();
      this.drawCatalogue();
    }

    async follow() {
      this.asked = Date.now();
      const answer = await atelier.get("internal/downloads").catch(() => null);
      this.answered(answer?.ok);
      if (!answer?.ok) return;
      const before = this.state;
      this.state = answer.body;
      this.drawState();
      const changed = (one) => before?.downloads.find((old) => old.id === one.id)?.state !== one.state;
      if (!this.state.downloads.some(changed)) return;
      if (this.state.downloads.some((one) => one.state === "done" && changed(one))) atelier.find("#model_refresh")?.click(); // which asks here again
      this.drawCatalogue();
    }

    answered(well) {
      this.find(".no-answer").hidden = well;
      this.find(".no-answer p").textContent = NO_ANSWER;
    }

    // What is here.

    drawHere() {
      if (!this.models) return;
      const words = this.find(".search input").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      const fits = (model) => words.every((word) => `${model.name} ${model.family_title} ${model.folder} ${kindOf(model)}`.toLowerCase().includes(word));
      const kinds = [...new Set(this.models.map(kindOf))];
      if (!kinds.includes(this.kind)) this.kind = ALL;
      this.find(".here .count").textContent = this.models.length || "";
      const chips = kinds.length > 1 ? [ALL, ...kinds] : [];
      this.find(".kinds").replaceChildren(...chips.map((kind) => {
        const chip = make("button", "chip", kind === ALL ? ALL : `${kind} ${this.models.filter((model) => kindOf(model) === kind).length}`);
        chip.type = "button";
        chip.setAttribute("aria-pressed", kind === this.kind);
        chip.addEventListener("click", () => { this.kind = kind; this.drawHere(); });
        return chip;
      }));
      const found = this.models.filter((model) => (this.kind === ALL || kindOf(model) === this.kind) && fits(model));
      const groups = kinds.map((kind) => [kind, found.filter((model) => kindOf(model) === kind)]).filter(([, rows]) => rows.length);
      const none = this.models.length ? "Nothing here has that name." : "There are no models yet. Add one from the list, or put files into the models folder and look again.";
      this.find(".here .list").replaceChildren(...(groups.length ? groups.flatMap(([kind, rows]) => [make("h5", "", kind), ...rows.map(here)]) : [make("p", "nothing", none)]));
    }

    // What can be added.

    drawCatalogue() {
      const { kinds, entries } = this.catalogue;
      const select = this.find(".by-hand select");
      if (!select.options.length) select.replaceChildren(...kinds.map((kind) => new Option(kind.title.replace(/s$/, ""), kind.id)));
      const groups = kinds.map((kind) => [kind, entries.filter((one) => one.kind === kind.id)]).filter(([, rows]) => rows.length);
      this.find(".catalogue").replaceChildren(...groups.map(([kind, rows]) => {
        const group = make("details", "group", "", make("summary", "", "", make("span", "", kind.title), make("span", "count", `${rows.length}`)), ...rows.map((row) => entry(row, this.state.downloads, (source) => this.confirm(source))));
        group.open = this.open.get(kind.id) ?? kind.id !== "preprocessor";
        group.addEventListener("toggle", () => this.open.set(kind.id, group.open));
        return group;
      }));
      this.root.querySelectorAll(".more .offer button, .by-hand .look").forEach((one) => { one.disabled ||= this.state.offline; });
    }

    drawState() {
      const { downloads, free, folder, offline, token } = this.state;
      this.find(".room").textContent = `${size(free)} free`;
      this.find(".room").title = folder;
      this.find(".offline").hidden = !offline;
      this.find(".token .told").textContent = { entered: "saved", environment: "from HF_TOKEN", "": "none" }[token];
      this.find(".token .forget").hidden = token !== "entered";
      this.find(".going").hidden = !downloads.length;
      for (const one of downloads) {
        if (!this.rows.has(one.id)) this.rows.set(one.id, new DownloadRow(one, (id, name) => this.act(id, name)));
        this.rows.get(one.id).show(one);
      }
      const listed = downloads.map((one) => this.rows.get(one.id).element);
      const list = this.find(".downloads");
      if (list.children.length !== listed.length || listed.some((element, place) => list.children[place] !== element)) list.replaceChildren(...listed);
    }

    async act(id, name) {
      await atelier.post(`internal/downloads/${id}/${name}`).catch(() => null);
      await this.follow();
      this.drawCatalogue();
    }

    // Asking before anything comes.

    confirm(source, order = { entry: source.id }) {
      this.order = order;
      const dialog = this.find(".confirm");
      dialog.querySelector("h3").textContent = `Download ${source.title}?`;
      dialog.querySelector(".what").textContent = source.sentence;
      const free = this.state.free;
      const lines = [
        ["Size", source.bytes == null ? "not told before it begins" : `${size(source.bytes)} (${size(free)} are free)`], ["Licence", source.licence || "not told; look at its page"],
        ["From", source.where], ["Into", `${this.state.folder}/${source.folder}`],
      ];
      dialog.querySelector("dl").replaceChildren(...lines.flatMap(([name, text]) => [make("dt", "", name), make("dd", "", text)]));
      const note = dialog.querySelector(".note");
      note.hidden = !source.gated;
      note.textContent = source.gated ? `Its licence has to be accepted first, on https://huggingface.co/${source.repository}${this.state.token ? "." : ", and an access token entered below the address field."}` : "";
      dialog.querySelector(".sentence").hidden = true;
      dialog.showModal();
      dialog.querySelector(".use").focus();
    }

    async confirmed() {
      const dialog = this.find(".confirm");
      const answer = await atelier.post("internal/downloads", this.order).catch(() => null);
      if (!answer?.ok) return this.say(dialog.querySelector(".sentence"), answer?.body?.detail ?? NO_ANSWER);
      dialog.close();
      await this.follow();
      this.drawCatalogue();
      this.find(".going").scrollIntoView({ block: "nearest" });
    }

    async lookUp() {
      const form = this.find(".by-hand");
      const [button, said] = [form.querySelector(".look"), form.querySelector(".sentence")];
      const order = { text: form.querySelector("input").value, kind: form.querySelector("select").value };
      said.hidden = true;
      button.disabled = true;
      button.textContent = "Looking …";
      const answer = await atelier.post("internal/downloads/look", order).catch(() => null);
      button.disabled = false;
      button.textContent = "Look";
      if (!answer?.ok) return this.say(said, answer?.body?.detail ?? NO_ANSWER);
      const found = answer.body;
      const several = found.files.length > 1 ? `${found.files.length} files, which become the folder ${found.name}.` : found.name;
      this.confirm({ ...found, sentence: several }, order);
    }

    async keepToken(text) {
      const said = this.find(".token .sentence");
      const answer = await atelier.post("internal/downloads/token", { token: text }).catch(() => null);
      if (!answer?.ok) return this.say(said, answer?.body?.detail ?? NO_ANSWER);
      said.hidden = true;
      this.find(".token input").value = "";
      this.state.token = answer.body.token;
      this.drawState();
    }

    say(place, sentence) {
      place.textContent = sentence;
      place.hidden = false;
    }
  }

  atelier.openModels = (element) => {
    view = new ModelsView(element.querySelector(".models"));
    view.look();
    // In a field of the tab the keys are its own; Escape closes the question and stops no drawing.
    element.addEventListener("keydown", (event) => { if (event.key === "Escape" && element.querySelector("dialog[open]")) event.stopPropagation(); });
  };
  atelier.modelsAgain = () => { if (view?.models) view.load(); };
})();
