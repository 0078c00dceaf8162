// Drawing a map by hand: the canvas's scripts over a black sheet, in a window of its own.
(() => {
  const OTHERS = new Set(["x", "s"]); // keys of tools that a drawing has no use for
  const LINES = 64; // so many of the first brush's lines go side by side
  const NOTHING = "Nothing is drawn yet.";

  atelier.UnitDrawing = class UnitDrawing {
    constructor(root, id) {
      this.dialog = root.querySelector(".drawing");
      this.id = `${id}_drawing`;
      this.canvas = null;
      this.done = null; // told what was drawn, or null
      this.listen();
    }

    listen() {
      const { dialog } = this;
      dialog.querySelector(".cancel").addEventListener("click", () => dialog.close());
      dialog.querySelector(".use").addEventListener("click", () => this.use());
      dialog.addEventListener("close", () => this.end(null));
      // The sheet stays what it is: no other pictures, and no tools that a drawing has no use for.
      dialog.addEventListener("keydown", (event) => {
        if (OTHERS.has(event.key.toLowerCase()) && !event.ctrlKey && !event.metaKey) event.stopPropagation();
      }, true);
      for (const name of ["drop", "dragover", "dragenter", "paste"]) dialog.addEventListener(name, (event) => event.stopPropagation(), true);
    }

    // Resolves to what the server tells of the drawing, or null where it was given up. `before`: a drawing to go on with.
    async open({ width, height }, before) {
      if (!this.canvas) {
        atelier.openCanvas(this.dialog, { canvas: this.id, spoken: "Drawing", masks: true, white: true, blur: 0, value: null }, () => {}, () => {});
        this.canvas = atelier.canvases[this.id];
        this.canvas.state.size = Math.max(2, Math.round(Math.min(width, height) / LINES));
      }
      this.size = { width, height };
      this.sheet = URL.createObjectURL(await atelier.greyPng(new Uint8Array(width * height), width, height));
      this.dialog.showModal();
      const ended = new Promise((done) => (this.done = done));
      const mask = before ? { ...before, url: `internal/inputs/${before.id}.png` } : null;
      await this.canvas.take({ image: { id: "drawing", url: this.sheet, width, height }, mask }, false);
      this.dialog.querySelector(".stage").focus({ preventScroll: true });
      return ended;
    }

    async use() {
      const { mask, problem } = await this.canvas.ready();
      if (problem) return; // the canvas says it
      if (!mask) return this.canvas.say(NOTHING, true);
      this.end({ id: mask, ...this.size });
    }

    end(drawn) {
      const { done } = this;
      this.done = null;
      if (this.dialog.open) this.dialog.close();
      URL.revokeObjectURL(this.sheet);
      done?.(drawn);
    }
  };
})();
