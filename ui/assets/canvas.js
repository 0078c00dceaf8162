// The canvas: a picture that is opened, dropped, pasted or sent, the mask over it, and handing both over.
(() => {
  const RATIO_TOLERANCE = 0.01; // as backend/inputs.py has it
  const START = { picture: null, mask: null, tool: "brush", size: 40, strength: 100, soft: false, masks: true, said: null };

  // One for each elem_id. It outlives what Gradio draws: a canvas that is drawn anew shows what it held before.
  class Canvas {
    constructor() {
      this.state = { ...START, grow: atelier.noGrow(), view: { scale: 1, x: 0, y: 0, fitted: true } };
      this.handed = { revision: 0, id: null }; // the mask's revision that the server has, and its name there
      this.handing = null;
      this.turn = 0; // counts pictures, so that a slow one cannot replace a newer one
      this.opening = Promise.resolve();
      this.seen = null; // the last message from Python
      this.untold = []; // events from before Gradio drew the canvas
      this.waiting = 0;
      this.root = null;
    }

    // Gradio's side.

    mount(root, props, trigger) {
      this.mounted?.abort();
      this.mounted = new AbortController();
      Object.assign(this, { root, props, trigger });
      this.state.masks = props.masks;
      this.state.white = Boolean(props.white);
      if (!props.masks) this.state.mask = null;
      root.dataset.masks = props.masks;
      root.dataset.blur ??= props.blur;
      root.querySelector(".stage").setAttribute("aria-label", props.spoken);
      root.querySelector(".bar").setAttribute("aria-label", `Tools: ${props.spoken}`);
      this.grower = new atelier.CanvasGrow(this, this.mounted.signal);
      this.view = new atelier.CanvasView(root, this.state, () => this.placed());
      this.tools = props.masks ? new atelier.CanvasTools(this, this.mounted.signal) : null;
      atelier.listenToCanvas(this, this.mounted.signal);
      this.message(props.value);
      this.put();
      if (this.untold.length) this.sync();
      this.untold.splice(0).forEach(([name, data]) => trigger(name, data));
    }

    // From Python, or this canvas's own value given back by a script that keeps forms.
    message(value) {
      const text = JSON.stringify(value);
      if (!value || text === this.seen) return;
      this.seen = text;
      this.take(value, false);
    }

    sync() {
      if (!this.props) return;
      const value = this.value();
      this.seen = JSON.stringify(value);
      this.props.value = value;
    }

    tell(name) {
      this.sync();
      const data = { ...this.value(), width: this.state.picture?.width ?? null, height: this.state.picture?.height ?? null };
      if (this.trigger) this.trigger(name, data);
      else this.untold.push([name, data]);
    }

    // For other scripts.

    value() {
      const { picture, mask, grow } = this.state;
      return { image: picture?.id ?? null, mask: mask?.revision === this.handed.revision ? this.handed.id : null, grow: { ...grow } };
    }

    show(image) {
      return this.take({ image }, true);
    }

    setGrow(wanted, final = true) {
      if (!this.state.picture) return;
      this.state.grow = atelier.growOf(wanted, this.state.grow);
      if (final && this.state.view.fitted) this.view?.fit();
      this.refresh();
      this.placed();
      if (final) this.tell("grow");
    }

    setBlur(pixels) {
      this.root?.setAttribute("data-blur", pixels);
    }

    // Hand the mask over if the server has another one, and say what is on the canvas.
    async ready() {
      await this.opening;
      this.tools?.finish();
      try {
        await this.handOver();
      } catch (error) {
        this.say(error.message, true);
        return { ...this.value(), problem: error.message };
      }
      this.sync();
      return this.value();
    }

    handOver() {
      const { mask } = this.state;
      if (!mask || mask.revision === this.handed.revision) return null;
      if (this.handing?.mask === mask && this.handing.revision === mask.revision) return this.handing.done;
      const { revision } = mask;
      const send = async () => {
        const id = mask.empty() ? null : (await atelier.handIn("internal/inputs?mask=true", await atelier.greyPng(mask.pixels, mask.width, mask.height))).id;
        if (mask === this.state.mask) this.handed = { revision, id };
      };
      const done = send().finally(() => (this.handing = null));
      this.handing = { mask, revision, done };
      return done;
    }

    // Pictures in.

    // image and mask: what the server tells of a kept picture, or only its name. The picture that was asked for last stays.
    take(value, tell) {
      return this.busy((current) => this.load(value, tell, current));
    }

    async load({ image, mask, grow }, tell, current) {
      const kept = (picture) => (typeof picture === "string" ? { id: picture, url: `internal/inputs/${picture}.png` } : picture);
      const [picture, old] = [kept(image), this.state.masks ? kept(mask) : null];
      const decoded = picture ? await atelier.decoded(picture.url).catch(() => null) : null;
      if (picture && !decoded) throw new Error("The picture is not kept here any more. Please choose it again.");
      const size = { width: decoded?.naturalWidth, height: decoded?.naturalHeight };
      const pixels = old && picture ? await atelier.greyPixels(old.url, size.width, size.height).catch(() => null) : null;
      if (!current()) return;
      this.replace(picture ? { ...picture, ...size } : null, pixels, grow);
      const same = (old?.width ?? size.width) === size.width && (old?.height ?? size.height) === size.height;
      if (pixels && same) this.handed = { revision: this.state.mask.revision, id: old.id };
      else if (old && picture && !pixels) this.say("Its mask is not kept here any more. Please paint it again.", true);
      if (tell) this.tell("picture");
      else this.sync();
    }

    replace(picture, pixels, grow) {
      const { state } = this;
      this.tools?.finish();
      state.picture = picture;
      state.mask = picture && state.masks ? new atelier.Mask(picture.width, picture.height) : null;
      this.handed = { revision: 0, id: null };
      if (pixels) state.mask.change(() => state.mask.replace(pixels));
      if (pixels) state.mask.done = []; // the mask it came with is the beginning
      state.grow = atelier.growOf(picture ? grow : null);
      state.view.fitted = true;
      this.say(picture?.notes?.length ? picture.notes.join(" ") : null);
      this.put();
    }

    openFile(file) {
      return this.open("internal/inputs", file);
    }

    // A job's picture, whether or not anybody has looked at this canvas's tab yet.
    openResult(source) {
      return this.open("internal/inputs/of-job", JSON.stringify(source), { "content-type": "application/json" });
    }

    open(address, body, headers) {
      return this.busy(async (current) => {
        const told = await atelier.handIn(address, body, headers);
        if (current()) await this.load({ image: told }, true, current);
      });
    }

    openMask(file) {
      const { picture, mask } = this.state;
      if (!mask) return null;
      return this.busy(async () => {
        const told = await atelier.handIn("internal/inputs?mask=true", file);
        const sizes = `The mask has ${told.width} × ${told.height} pixels and the picture ${mask.width} × ${mask.height}`;
        if (Math.abs(told.width / told.height / (mask.width / mask.height) - 1) > RATIO_TOLERANCE) throw new Error(`${sizes}, which is another shape. Please choose a mask of this picture.`);
        const pixels = await atelier.greyPixels(told.url, mask.width, mask.height);
        if (picture !== this.state.picture) return;
        this.tools?.finish();
        this.change(() => mask.replace(pixels));
        const fitted = told.width !== mask.width || told.height !== mask.height;
        this.say(fitted ? `${sizes}; it was fitted.` : null);
        if (!fitted) this.handed = { revision: mask.revision, id: told.id };
      }, false);
    }

    // While `work` waits the stage says so; what it throws is said there, and what was on the canvas stays.
    busy(work, another = true) {
      if (another) this.turn += 1;
      const { turn } = this;
      const count = (by) => {
        this.waiting += by;
        this.refresh();
      };
      count(1);
      const failed = (error) => {
        this.say(error.message, true);
        return false;
      };
      const done = work(() => turn === this.turn).then(() => true, failed).finally(() => count(-1));
      this.opening = Promise.all([this.opening, done]);
      return done;
    }

    // The mask.

    change(work) {
      const { mask } = this.state;
      if (!mask) return;
      this.tools?.finish();
      mask.change(() => work(mask));
      this.painted();
    }

    restep(work) {
      this.tools?.finish();
      if (this.state.mask) work(this.state.mask);
      this.painted();
    }

    painted() {
      this.view?.redraw();
      this.refresh();
    }

    async save() {
      const { mask, picture } = this.state;
      const address = URL.createObjectURL(await atelier.greyPng(mask.pixels, mask.width, mask.height));
      Object.assign(document.createElement("a"), { href: address, download: `mask-${picture.id.slice(0, 8)}.png` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    }

    // The page.

    do(name) {
      atelier.canvasDeeds[name](this);
    }

    choose(tool) {
      this.state.tool = tool;
      if (this.state.view.fitted) this.view.fit(); // handles need more room
      this.refresh();
    }

    setSoft(soft) {
      this.state.soft = soft;
      this.view.redraw(true);
      this.refresh();
    }

    say(text, bad = false) {
      this.state.said = text ? { text, bad } : null;
      this.refresh();
    }

    placed() {
      if (!this.root || !this.state.picture) return;
      this.grower.place();
      this.root.querySelector(".zoom").textContent = `${Math.round(100 * this.state.view.scale)} %`;
    }

    // Everything from the state onto the page, after another picture or when Gradio drew the canvas anew.
    put() {
      if (!this.root) return;
      const { picture, view } = this.state;
      const image = this.root.querySelector(".picture");
      if (picture) image.src = picture.url;
      else image.removeAttribute("src");
      image.alt = picture ? `${this.props.spoken}, ${picture.width} × ${picture.height} pixels` : "";
      this.refresh();
      document.dispatchEvent(new Event("canvaschanged"));
      if (picture && view.fitted) this.view.fit();
      this.view.redraw(true);
    }

    refresh() {
      if (this.root) atelier.refreshCanvas(this);
    }
  }

  atelier.canvases = {};
  const canvasOf = (id) => (atelier.canvases[id] ??= new Canvas());

  // Called when Gradio has drawn the canvas, and again should it draw it anew; see ui/canvas.py.
  atelier.openCanvas = (element, props, watch, trigger) => {
    const canvas = canvasOf(props.canvas);
    canvas.mount(element.querySelector(".canvas"), props, trigger);
    watch("value", () => canvas.message(props.value));
    watch("blur", () => canvas.setBlur(props.blur));
  };

  // Give a job's picture to a canvas. Resolves to whether that worked; the canvas says why not.
  atelier.sendTo = (id, { job, index }) => canvasOf(id).openResult({ job, index });
})();
