// Extending the picture beyond its edges: four handles to drag outwards, and the new border shown hatched.
(() => {
  const STEP = 8;
  const MOST = 1024;
  const OUTWARDS = { left: [-1, 0], top: [0, -1], right: [1, 0], bottom: [0, 1] };
  const ARROWS = { ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowDown: [0, 1] };
  const IN_SIGHT = 18; // pixels between a handle and the stage's edge

  atelier.noGrow = () => ({ left: 0, top: 0, right: 0, bottom: 0 });

  // What can be asked for: whole steps, nothing inwards.
  atelier.growOf = (wanted, before = atelier.noGrow()) => {
    const one = (side) => Math.min(MOST, Math.max(0, Math.round((Number(wanted?.[side] ?? before[side]) || 0) / STEP) * STEP));
    return Object.fromEntries(Object.keys(before).map((side) => [side, one(side)]));
  };

  atelier.growText = ({ width, height }, grow) =>
    [`${width} × ${height}`, ...Object.entries(grow).filter(([, pixels]) => pixels).map(([side, pixels]) => `${pixels} ${side}`)].join(" + ");

  atelier.CanvasGrow = class CanvasGrow {
    constructor(canvas, signal) {
      this.canvas = canvas;
      this.hatched = canvas.root.querySelector(".grown");
      this.handles = canvas.root.querySelectorAll(".handle");
      for (const handle of this.handles) {
        const { side } = handle.dataset;
        handle.addEventListener("pointerdown", (event) => this.drag(event, handle, side), { signal });
        handle.addEventListener("dblclick", () => this.set(side, 0, true), { signal });
        handle.addEventListener("keydown", (event) => this.key(event, side), { signal });
      }
    }

    set(side, pixels, final) {
      this.canvas.setGrow({ [side]: pixels }, final);
    }

    drag(event, handle, side) {
      if (event.button !== 0) return;
      const from = [event.clientX, event.clientY];
      const { grow, view } = this.canvas.state;
      const before = grow[side];
      const moves = new AbortController();
      handle.setPointerCapture(event.pointerId);
      const move = ({ clientX, clientY }) => {
        const [x, y] = OUTWARDS[side];
        this.set(side, before + ((clientX - from[0]) * x + (clientY - from[1]) * y) / view.scale, false);
      };
      const end = () => {
        moves.abort();
        this.set(side, this.canvas.state.grow[side], before !== this.canvas.state.grow[side]);
      };
      handle.addEventListener("pointermove", move, moves);
      for (const name of ["pointerup", "pointercancel"]) handle.addEventListener(name, end, moves);
    }

    key(event, side) {
      const arrow = ARROWS[event.key];
      if (!arrow && event.key !== "Delete") return;
      event.preventDefault();
      event.stopPropagation();
      const [x, y] = OUTWARDS[side];
      const along = arrow ? arrow[0] * x + arrow[1] * y : 0;
      this.set(side, arrow ? this.canvas.state.grow[side] + along * STEP : 0, true);
    }

    // Put the hatching and the handles where they belong on the screen.
    place() {
      const { picture, grow, view } = this.canvas.state;
      const { clientWidth: across, clientHeight: down } = this.canvas.root.querySelector(".stage");
      const left = view.x - grow.left * view.scale;
      const top = view.y - grow.top * view.scale;
      const width = (picture.width + grow.left + grow.right) * view.scale;
      const height = (picture.height + grow.top + grow.bottom) * view.scale;
      Object.assign(this.hatched.style, { width: `${width}px`, height: `${height}px`, translate: `${left}px ${top}px` });
      const inside = (value, most) => Math.min(most - IN_SIGHT, Math.max(IN_SIGHT, value));
      const places = { left: [left, top + height / 2], right: [left + width, top + height / 2], top: [left + width / 2, top], bottom: [left + width / 2, top + height] };
      for (const handle of this.handles) {
        const [x, y] = places[handle.dataset.side];
        handle.style.translate = `${inside(x, across)}px ${inside(y, down)}px`;
        handle.setAttribute("aria-description", `${grow[handle.dataset.side]} pixels`);
      }
    }
  };
})();
