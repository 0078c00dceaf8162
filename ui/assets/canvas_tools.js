// The canvas in the hand: what pointers, wheel and keys do with the mask and the view.
(() => {
  const LARGEST = 1024; // of the brush, in pixels of the picture
  const TOOLS = { b: "brush", e: "eraser", r: "rectangle", l: "lasso", g: "fill", x: "extend" };
  const DEEDS = { i: "invert", s: "soft", 0: "fit", 1: "actual", Delete: "wipe", "+": "in", "-": "out" };
  const PEN_ERASER = 32; // its bit in `buttons` (Pointer Events, section 4.1.3)
  const SMALLEST_SHAPE = 3; // pixels of the screen; below that it was a slip of the hand
  const NO_TEXT = new Set(["range", "checkbox", "radio", "button", "submit", "file", "color"]);

  // Sliders go by doublings: 10 steps each, from 1 to 1024 pixels.
  atelier.brushSize = (position) => Math.round(2 ** (position / 10));
  atelier.brushPosition = (size) => Math.round(10 * Math.log2(size));

  atelier.inTextField = () => {
    const field = document.activeElement;
    return Boolean(field?.isContentEditable || field?.matches("textarea, select") || (field?.matches("input") && !NO_TEXT.has(field.type)));
  };

  atelier.CanvasTools = class CanvasTools {
    constructor(canvas, signal) {
      this.canvas = canvas;
      this.pointers = new Map();
      this.action = null; // what the pressed pointer does: { move, end, cancel }
      this.hovering = this.space = this.control = false;
      const { root } = canvas;
      this.stage = root.querySelector(".stage");
      this.ring = root.querySelector(".ring");
      this.lines = root.querySelectorAll(".lines path");
      const listen = (target, name, work, options) => target.addEventListener(name, (event) => work.call(this, event), { signal, ...options });
      listen(this.stage, "pointerdown", this.down);
      listen(this.stage, "pointermove", this.move);
      listen(this.stage, "pointerup", this.up);
      listen(this.stage, "pointercancel", this.up);
      listen(this.stage, "pointerleave", () => (this.ring.hidden = true));
      listen(this.stage, "mousedown", (event) => event.button === 1 && event.preventDefault()); // no scrolling by the middle button
      listen(this.stage, "wheel", this.wheel, { passive: false });
      listen(root, "pointerenter", () => (this.hovering = true));
      listen(root, "pointerleave", () => (this.hovering = false));
      listen(document, "keydown", this.keyDown);
      listen(document, "keyup", this.keyUp);
      listen(window, "blur", () => (this.control = this.space = false));
    }

    get state() {
      return this.canvas.state;
    }

    get view() {
      return this.canvas.view;
    }

    down(event) {
      const { picture, tool } = this.state;
      if (!picture || event.target.closest("button") || event.button > 1 && !(event.buttons & PEN_ERASER)) return;
      event.preventDefault();
      this.stage.focus({ preventScroll: true });
      this.stage.setPointerCapture(event.pointerId);
      const at = this.view.inStage(event);
      this.pointers.set(event.pointerId, at);
      if (this.pointers.size > 1) {
        this.action?.cancel?.();
        this.action = this.pinch();
        return;
      }
      const erase = tool === "eraser" || event.shiftKey || Boolean(event.buttons & PEN_ERASER);
      const value = erase ? 0 : Math.round((255 * this.state.strength) / 100);
      const makes = { brush: this.stroke, eraser: this.stroke, rectangle: this.rectangle, lasso: this.lasso, fill: this.fill, extend: this.pan };
      const make = event.button === 1 || this.space ? this.pan : makes[tool];
      this.stage.classList.toggle("panning", make === this.pan);
      this.action = make.call(this, at, value);
    }

    move(event) {
      const at = this.view.inStage(event);
      this.showRing(at, event.pointerType);
      if (!this.pointers.has(event.pointerId)) return;
      const before = this.pointers.get(event.pointerId);
      this.pointers.set(event.pointerId, at);
      this.action?.move?.(event, at, before);
    }

    up(event) {
      if (!this.pointers.delete(event.pointerId)) return;
      if (this.pointers.size) return; // the last finger of a pinch draws nothing
      this.finish();
    }

    // End what is being drawn, as if the pointer were lifted.
    finish() {
      const { action } = this;
      this.action = null;
      this.stage.classList.remove("panning");
      action?.end?.();
    }

    // Every place the pointer passed since the last event, in the stage.
    passed(event) {
      const events = event.getCoalescedEvents?.() ?? [];
      return (events.length ? events : [event]).map((one) => this.view.inStage(one));
    }

    stroke(start, value) {
      const { mask, size } = this.state;
      const point = (at) => this.view.toPicture(at).map((pixel) => (size === 1 ? Math.floor(pixel) + 0.5 : pixel));
      let last = point(start);
      mask.begin();
      const draw = (next) => {
        mask.capsule(last, next, size / 2, value);
        last = next;
        this.view.redraw();
      };
      draw(last);
      return {
        move: (event) => this.passed(event).forEach((at) => draw(point(at))),
        end: () => {
          mask.commit();
          this.canvas.painted();
        },
        cancel: () => {
          mask.cancel();
          this.canvas.painted();
        },
      };
    }

    rectangle(start, value) {
      const from = this.view.toPicture(start);
      let to = from;
      const clear = () => this.outline([]);
      return {
        move: (_, at) => {
          to = this.view.toPicture(at);
          this.outline([from, [to[0], from[1]], to, [from[0], to[1]]]);
        },
        end: () => {
          clear();
          if (Math.hypot(to[0] - from[0], to[1] - from[1]) * this.state.view.scale < SMALLEST_SHAPE) return;
          const [xs, ys] = [0, 1].map((axis) => [from[axis], to[axis]].map(Math.floor).sort((one, other) => one - other));
          this.canvas.change((mask) => mask.rectangle(xs[0], ys[0], xs[1], ys[1], value));
        },
        cancel: clear,
      };
    }

    lasso(start, value) {
      const points = [this.view.toPicture(start)];
      const clear = () => this.outline([]);
      return {
        move: (event) => {
          points.push(...this.passed(event).map((at) => this.view.toPicture(at)));
          this.outline(points);
        },
        end: () => {
          clear();
          if (points.length > 2) this.canvas.change((mask) => mask.polygon(points, value));
        },
        cancel: clear,
      };
    }

    fill(start, value) {
      const [x, y] = this.view.toPicture(start).map(Math.floor);
      const { picture } = this.state;
      if (x >= 0 && y >= 0 && x < picture.width && y < picture.height) this.canvas.change((mask) => mask.flood(x, y, value));
      return null;
    }

    pan() {
      return { move: (_, at, before) => this.view.panBy(at[0] - before[0], at[1] - before[1]) };
    }

    pinch() {
      const reach = () => {
        const [[ax, ay], [bx, by]] = [...this.pointers.values()];
        return { x: (ax + bx) / 2, y: (ay + by) / 2, width: Math.hypot(bx - ax, by - ay) || 1 };
      };
      let last = reach();
      return {
        move: () => {
          if (this.pointers.size < 2) return;
          const now = reach();
          this.view.panBy(now.x - last.x, now.y - last.y);
          this.view.zoomBy(now.width / last.width, now.x, now.y);
          last = now;
        },
      };
    }

    // Drawn twice, dark under light, so that it is seen on any picture.
    outline(points) {
      const { view } = this.state;
      const path = points.length ? `M${points.map(([x, y]) => `${x * view.scale + view.x} ${y * view.scale + view.y}`).join("L")}Z` : "";
      this.lines.forEach((line) => line.setAttribute("d", path));
    }

    showRing([x, y], type) {
      const { tool, size, view, picture } = this.state;
      this.ring.hidden = !picture || type === "touch" || this.space || (tool !== "brush" && tool !== "eraser");
      if (this.ring.hidden) return;
      const across = Math.max(3, size * view.scale);
      this.pointer = [x, y];
      Object.assign(this.ring.style, { width: `${across}px`, height: `${across}px`, translate: `${x - across / 2}px ${y - across / 2}px` });
    }

    resize(size) {
      this.state.size = Math.min(LARGEST, Math.max(1, Math.round(size)));
      this.canvas.refresh();
      if (!this.ring.hidden) this.showRing(this.pointer, "mouse");
    }

    wheel(event) {
      if (!this.state.picture) return;
      event.preventDefault();
      const turned = (event.deltaY || event.deltaX) * (event.deltaMode ? 16 : 1);
      // Browsers tell of a pinch on a touchpad as of a wheel with Ctrl; only a pressed key was seen before.
      if (event.altKey || (event.ctrlKey && this.control)) {
        const { size } = this.state;
        const next = size * Math.exp(-turned * 0.0012);
        this.resize(turned < 0 ? Math.max(size + 1, next) : Math.min(size - 1, next));
      } else {
        this.view.zoomBy(Math.exp(-turned * (event.ctrlKey ? 0.01 : 0.0015)), ...this.view.inStage(event));
      }
    }

    keyDown(event) {
      if (event.key === "Control" || event.key === "Meta") this.control = true;
      if (!this.listening()) return;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (event.ctrlKey || event.metaKey) {
        if (key === "z") this.canvas.do(event.shiftKey ? "redo" : "undo");
        else if (key === "y") this.canvas.do("redo");
        else return;
      } else if (event.altKey) return;
      else if (key === " ") this.holdSpace(event);
      else if (key === "[" || key === "]") this.resizeByKey(key === "]");
      else if (TOOLS[key]) this.canvas.choose(TOOLS[key]);
      else if (DEEDS[key]) this.canvas.do(DEEDS[key]);
      else return;
      if (key !== " " || this.space) event.preventDefault();
    }

    // A focused button is pressed with the space bar, unless the pointer says that panning is meant.
    holdSpace() {
      this.space = this.stage.matches(":hover") || document.activeElement === this.stage;
      this.stage.classList.toggle("pannable", this.space);
      if (this.space) this.ring.hidden = true;
    }

    keyUp(event) {
      if (event.key === "Control" || event.key === "Meta") this.control = false;
      if (event.key !== " " || !this.space) return;
      event.preventDefault();
      this.space = false;
      this.stage.classList.remove("pannable");
    }

    resizeByKey(larger) {
      const { size } = this.state;
      this.resize(larger ? Math.max(size + 1, size * 1.15) : Math.min(size - 1, size / 1.15));
    }

    listening() {
      const { root } = this.canvas;
      return Boolean(this.state.picture) && (this.hovering || root.contains(document.activeElement)) && root.checkVisibility() && !atelier.inTextField();
    }
  };
})();
