// The mask: one byte for each pixel of the picture, shapes drawn into it exactly, and steps that can be taken back.
(() => {
  const TILE = 256;
  const STEPS = 40; // so many can be taken back, whatever memory they need
  const MOST_STEPS = 200;
  const STEPS_BYTES = 128 * 2 ** 20; // beyond STEPS, the oldest are forgotten above this

  atelier.Mask = class Mask {
    constructor(width, height) {
      this.width = width;
      this.height = height;
      this.pixels = new Uint8Array(width * height); // 0 stays as it is, 255 is painted anew
      this.across = Math.ceil(width / TILE);
      this.done = [];
      this.undone = [];
      this.step = null; // the tiles as they were before the step that is being made
      this.revision = 0; // names what the mask holds now; taking a step back brings its old number back
      this.newest = 0;
      this.changed = null; // the rectangle that the screen does not show yet
    }

    // Steps. A step keeps the tiles it touches, each as a copy or, where all is one value, as that number.

    begin() {
      this.step = new Map();
    }

    commit() {
      const tiles = this.step;
      this.step = null;
      for (const [tile, kept] of tiles) if (this.holds(tile, kept)) tiles.delete(tile);
      if (!tiles.size) return false;
      const bytes = [...tiles.values()].reduce((sum, kept) => sum + (kept.length ?? 0), 0);
      this.done.push({ tiles, bytes, before: this.revision, after: ++this.newest });
      this.revision = this.newest;
      this.undone = [];
      this.forget();
      return true;
    }

    // As if the step had never begun.
    cancel() {
      for (const [tile, kept] of this.step ?? []) this.put(tile, kept);
      this.step = null;
    }

    // One whole step around what `work` does.
    change(work) {
      this.begin();
      work();
      return this.commit();
    }

    forget() {
      let bytes = this.done.reduce((sum, step) => sum + step.bytes, 0);
      while (this.done.length > MOST_STEPS || (this.done.length > STEPS && bytes > STEPS_BYTES)) bytes -= this.done.shift().bytes;
    }

    undo() {
      const step = this.done.pop();
      if (!step) return;
      this.swap(step);
      this.revision = step.before;
      this.undone.push(step);
    }

    redo() {
      const step = this.undone.pop();
      if (!step) return;
      this.swap(step);
      this.revision = step.after;
      this.done.push(step);
    }

    swap(step) {
      step.bytes = 0;
      for (const [tile, kept] of step.tiles) {
        const now = this.take(tile);
        this.put(tile, kept);
        step.tiles.set(tile, now);
        step.bytes += now.length ?? 0;
      }
    }

    // Tiles, numbered row by row.

    box(tile) {
      const left = (tile % this.across) * TILE;
      const top = Math.floor(tile / this.across) * TILE;
      return { left, top, right: Math.min(left + TILE, this.width), bottom: Math.min(top + TILE, this.height) };
    }

    uniform({ left, top, right, bottom }) {
      const value = this.pixels[top * this.width + left];
      for (let y = top; y < bottom; y++) {
        const end = y * this.width + right;
        for (let at = y * this.width + left; at < end; at++) if (this.pixels[at] !== value) return null;
      }
      return value;
    }

    take(tile) {
      const box = this.box(tile);
      const value = this.uniform(box);
      if (value !== null) return value;
      const across = box.right - box.left;
      const copy = new Uint8Array(across * (box.bottom - box.top));
      for (let y = box.top; y < box.bottom; y++) copy.set(this.pixels.subarray(y * this.width + box.left, y * this.width + box.right), (y - box.top) * across);
      return copy;
    }

    put(tile, kept) {
      const box = this.box(tile);
      const across = box.right - box.left;
      for (let y = box.top; y < box.bottom; y++) {
        const start = y * this.width + box.left;
        if (typeof kept === "number") this.pixels.fill(kept, start, start + across);
        else this.pixels.set(kept.subarray((y - box.top) * across, (y - box.top + 1) * across), start);
      }
      this.mark(box.left, box.top, box.right - 1, box.bottom - 1);
    }

    holds(tile, kept) {
      const now = this.take(tile);
      if (typeof now === "number" || typeof kept === "number") return now === kept;
      for (let at = 0; at < now.length; at++) if (now[at] !== kept[at]) return false;
      return true;
    }

    // Must come before any pixel of the rectangle changes; both ends count.
    keep(left, top, right, bottom) {
      const last = Math.floor(right / TILE);
      for (let row = Math.floor(top / TILE); row <= Math.floor(bottom / TILE); row++) {
        for (let column = Math.floor(left / TILE); column <= last; column++) {
          const tile = row * this.across + column;
          if (!this.step.has(tile)) this.step.set(tile, this.take(tile));
        }
      }
      this.mark(left, top, right, bottom);
    }

    mark(left, top, right, bottom) {
      const before = this.changed ?? { left, top, right, bottom };
      this.changed = { left: Math.min(left, before.left), top: Math.min(top, before.top), right: Math.max(right, before.right), bottom: Math.max(bottom, before.bottom) };
    }

    takeChanged() {
      const { changed } = this;
      this.changed = null;
      return changed;
    }

    empty() {
      const words = new Uint32Array(this.pixels.buffer, 0, this.pixels.length >> 2);
      for (let at = 0; at < words.length; at++) if (words[at]) return false;
      return this.pixels.subarray(words.length * 4).every((value) => value === 0);
    }

    // Shapes. A pixel belongs to a shape when its centre lies in it, so that edges are hard and always the same.

    // The part of the rectangle that lies on the mask, whole pixels; null when none does.
    onMask(left, top, right, bottom) {
      const box = { left: Math.max(0, left), top: Math.max(0, top), right: Math.min(this.width - 1, right), bottom: Math.min(this.height - 1, bottom) };
      return box.left <= box.right && box.top <= box.bottom ? box : null;
    }

    row(y, from, to, value) {
      const start = y * this.width;
      if (from <= to) this.pixels.fill(value, start + Math.max(0, from), start + Math.min(this.width - 1, to) + 1);
    }

    rectangle(left, top, right, bottom, value) {
      const box = this.onMask(left, top, right, bottom);
      if (!box) return;
      this.keep(box.left, box.top, box.right, box.bottom);
      for (let y = box.top; y <= box.bottom; y++) this.row(y, box.left, box.right, value);
    }

    // What a round brush covers on its straight way from a to b: it is convex, so each row has one span.
    capsule(a, b, radius, value) {
      const [[ax, ay], [bx, by]] = [a, b];
      const box = this.onMask(
        Math.ceil(Math.min(ax, bx) - radius - 0.5), Math.ceil(Math.min(ay, by) - radius - 0.5),
        Math.floor(Math.max(ax, bx) + radius - 0.5), Math.floor(Math.max(ay, by) + radius - 0.5),
      );
      if (!box) return;
      this.keep(box.left, box.top, box.right, box.bottom);
      const length = Math.hypot(bx - ax, by - ay);
      const [nx, ny] = length ? [((ay - by) / length) * radius, ((bx - ax) / length) * radius] : [0, 0];
      const sides = [[ax + nx, ay + ny], [bx + nx, by + ny], [bx - nx, by - ny], [ax - nx, ay - ny]];
      for (let y = box.top; y <= box.bottom; y++) {
        const centre = y + 0.5;
        let left = Infinity;
        let right = -Infinity;
        const reach = (x) => {
          if (x < left) left = x;
          if (x > right) right = x;
        };
        for (const [x, middle] of [a, b]) {
          const half = radius * radius - (centre - middle) * (centre - middle);
          if (half < 0) continue;
          reach(x - Math.sqrt(half));
          reach(x + Math.sqrt(half));
        }
        if (length) for (const crossing of crossings(sides, centre)) reach(crossing.x);
        this.row(y, Math.max(box.left, Math.ceil(left - 0.5)), Math.min(box.right, Math.floor(right - 0.5)), value);
      }
    }

    // Whatever the line goes around, once or often.
    polygon(points, value) {
      const xs = points.map(([x]) => x);
      const ys = points.map(([, y]) => y);
      const box = this.onMask(Math.floor(Math.min(...xs)), Math.floor(Math.min(...ys)), Math.ceil(Math.max(...xs)), Math.ceil(Math.max(...ys)));
      if (!box) return;
      this.keep(box.left, box.top, box.right, box.bottom);
      for (let y = box.top; y <= box.bottom; y++) {
        const crossed = crossings(points, y + 0.5).sort((one, other) => one.x - other.x);
        let turns = 0;
        for (let at = 0; at + 1 < crossed.length; at++) {
          turns += crossed[at].down;
          if (turns) this.row(y, Math.ceil(crossed[at].x - 0.5), Math.ceil(crossed[at + 1].x - 0.5) - 1, value);
        }
      }
    }

    // From one pixel to all that are joined to it: those of the same value, or, to erase, all that are masked.
    flood(x, y, value) {
      const { pixels, width, height } = this;
      const seed = pixels[y * width + x];
      if (seed === value) return;
      const inside = value === 0 ? (at) => pixels[at] !== 0 : (at) => pixels[at] === seed;
      const waiting = [x, y];
      while (waiting.length) {
        const line = waiting.pop();
        const start = line * width;
        let left = waiting.pop();
        if (!inside(start + left)) continue;
        let right = left;
        while (left > 0 && inside(start + left - 1)) left--;
        while (right < width - 1 && inside(start + right + 1)) right++;
        this.keep(left, line, right, line);
        this.row(line, left, right, value);
        for (const next of [line - 1, line + 1]) {
          if (next < 0 || next >= height) continue;
          let before = false;
          for (let at = left; at <= right; at++) {
            const now = inside(next * width + at);
            if (now && !before) waiting.push(at, next);
            before = now;
          }
        }
      }
    }

    everything(value) {
      this.rectangle(0, 0, this.width - 1, this.height - 1, value);
    }

    invert() {
      this.keep(0, 0, this.width - 1, this.height - 1);
      for (let at = 0; at < this.pixels.length; at++) this.pixels[at] = 255 - this.pixels[at];
    }

    replace(pixels) {
      this.keep(0, 0, this.width - 1, this.height - 1);
      this.pixels.set(pixels);
    }
  };

  // Where a closed line crosses the height y, and whether it goes down (1) or up (-1) there.
  const crossings = (points, y) => {
    const found = [];
    for (let at = 0; at < points.length; at++) {
      const [ax, ay] = points[at];
      const [bx, by] = points[at + 1 < points.length ? at + 1 : 0];
      if (ay <= y !== by <= y) found.push({ x: ax + ((y - ay) / (by - ay)) * (bx - ax), down: by > ay ? 1 : -1 });
    }
    return found;
  };
})();
