// The canvas on the screen: where the picture stands in its stage, and the mask drawn over it, only where it changed.
(() => {
  const COLOUR = [255, 56, 92]; // seen on most pictures, in the light and in the dark
  const OPACITY = 0.55;
  const LEAST_OPACITY = 0.16; // so that the faintest grey is seen
  const MARGIN = 12;
  const MARGIN_EXTENDING = 52; // room to drag the handles to
  const LARGEST_FIT = 4;
  const LARGEST = 32;
  const MOST_DRAWN = 4e6; // pixels of the drawn layer; sharper screens get a coarser one
  const IN_SIGHT = 48;
  const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

  const packed = (opacity) => {
    const bytes = [...COLOUR, Math.round(255 * opacity)];
    return (LITTLE_ENDIAN ? bytes.reverse() : bytes).reduce((sum, byte) => sum * 256 + byte, 0);
  };
  const EDGE = packed(1);
  const INKS = Uint32Array.from({ length: 256 }, (_, value) => (value ? packed(LEAST_OPACITY + (OPACITY - LEAST_OPACITY) * (value / 255)) : 0));
  const WHITES = Uint32Array.from({ length: 256 }, (_, value) => (LITTLE_ENDIAN ? value * 2 ** 24 + 0xffffff : 0xffffff00 + value)); // for drawings on a black sheet
  const SOFT_INKS = Uint32Array.from({ length: 256 }, (_, value) => packed((OPACITY * value) / 255));

  // Three running means come close to a Gaussian; their widths after P. Kovesi, "Fast Almost-Gaussian Filtering", 2010.
  const blurred = (values, across, down, sigma) => {
    const ideal = Math.floor(Math.sqrt(4 * sigma * sigma + 1));
    const narrow = ideal % 2 ? ideal : ideal - 1;
    const narrows = Math.round((12 * sigma * sigma - 3 * narrow * narrow - 12 * narrow - 9) / (-4 * narrow - 4));
    let [from, to] = [Float32Array.from(values), new Float32Array(values.length)];
    const mean = (count, length, stride, step, half) => {
      for (let line = 0; line < count; line++) {
        const start = line * stride;
        const at = (place) => from[start + Math.min(length - 1, Math.max(0, place)) * step];
        let sum = 0;
        for (let place = -half; place <= half; place++) sum += at(place);
        for (let place = 0; place < length; place++) {
          to[start + place * step] = sum / (2 * half + 1);
          sum += at(place + half + 1) - at(place - half);
        }
      }
      [from, to] = [to, from];
    };
    for (let pass = 0; pass < 3; pass++) {
      const half = ((pass < narrows ? narrow : narrow + 2) - 1) / 2;
      if (half <= 0) continue;
      mean(down, across, across, 1, half);
      mean(across, down, 1, across, half);
    }
    return from;
  };

  atelier.CanvasView = class CanvasView {
    constructor(root, state, placed) {
      this.state = state;
      this.placed = placed; // called when the picture stands elsewhere
      this.root = root;
      this.stage = root.querySelector(".stage");
      this.picture = root.querySelector(".picture");
      this.layer = root.querySelector(".layer");
      this.context = this.layer.getContext("2d", { willReadFrequently: true }); // drawn by the processor, so kept in its memory
      this.whole = true;
      this.frame = 0;
      this.across = this.down = 0;
      root.style.setProperty("--mask", `rgb(${COLOUR.join(" ")})`);
    }

    // The stage has another size: fitted pictures are fitted again, others keep what was in the middle there.
    resized() {
      const { clientWidth: across, clientHeight: down } = this.stage;
      if (!across || !down) return;
      const { view } = this.state;
      const moved = this.across ? [(across - this.across) / 2, (down - this.down) / 2] : [0, 0];
      [this.across, this.down] = [across, down];
      this.sharpness = Math.min(devicePixelRatio || 1, Math.sqrt(MOST_DRAWN / (across * down)));
      this.layer.width = Math.round(across * this.sharpness);
      this.layer.height = Math.round(down * this.sharpness);
      if (view.fitted) this.fit();
      else this.panBy(...moved);
    }

    fitting() {
      const { picture, grow, tool } = this.state;
      const margin = 2 * (tool === "extend" ? MARGIN_EXTENDING : MARGIN);
      const across = picture.width + grow.left + grow.right;
      const down = picture.height + grow.top + grow.bottom;
      const scale = Math.min(Math.max(40, this.across - margin) / across, Math.max(40, this.down - margin) / down, LARGEST_FIT);
      return { scale, x: (this.across - across * scale) / 2 + grow.left * scale, y: (this.down - down * scale) / 2 + grow.top * scale };
    }

    fit() {
      if (!this.state.picture || !this.across) return;
      this.state.view = { ...this.fitting(), fitted: true };
      this.place();
    }

    // x and y are in the stage, and what is there stays there.
    zoomBy(factor, x = this.across / 2, y = this.down / 2) {
      const { view } = this.state;
      const scale = Math.min(LARGEST, Math.max(Math.min(1, this.fitting().scale) / 2, view.scale * factor));
      const grown = scale / view.scale;
      this.state.view = { scale, x: x - (x - view.x) * grown, y: y - (y - view.y) * grown, fitted: false };
      this.place();
    }

    actual() {
      this.zoomBy(1 / this.state.view.scale);
    }

    panBy(x, y) {
      const { view } = this.state;
      this.state.view = { ...view, x: view.x + x, y: view.y + y, fitted: false };
      this.place();
    }

    place() {
      const { picture, view } = this.state;
      if (!picture) return;
      const [width, height] = [picture.width * view.scale, picture.height * view.scale];
      view.x = Math.round(Math.min(this.across - IN_SIGHT, Math.max(IN_SIGHT - width, view.x)));
      view.y = Math.round(Math.min(this.down - IN_SIGHT, Math.max(IN_SIGHT - height, view.y)));
      Object.assign(this.picture.style, { width: `${width}px`, height: `${height}px`, translate: `${view.x}px ${view.y}px` });
      this.picture.classList.toggle("blocks", view.scale > 2);
      this.placed();
      this.redraw(true);
    }

    inStage(event) {
      const { left, top } = this.stage.getBoundingClientRect();
      return [event.clientX - left - this.stage.clientLeft, event.clientY - top - this.stage.clientTop];
    }

    toPicture([x, y]) {
      const { view } = this.state;
      return [(x - view.x) / view.scale, (y - view.y) / view.scale];
    }

    redraw(whole = false) {
      this.whole ||= whole;
      this.frame ||= requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    }

    draw() {
      const { mask, view } = this.state;
      if (!this.across) return;
      const { width, height } = this.layer;
      if (this.whole) this.context.clearRect(0, 0, width, height);
      const changed = mask?.takeChanged();
      const box = this.whole && mask ? { left: 0, top: 0, right: mask.width - 1, bottom: mask.height - 1 } : changed;
      this.whole = false;
      if (!mask || !box) return;
      const sigma = this.state.soft ? this.blur() * view.scale * this.sharpness : 0;
      const around = 2 + 3 * sigma;
      const place = (value, offset) => (value * view.scale + offset) * this.sharpness;
      const left = Math.max(0, Math.floor(place(box.left, view.x) - around), Math.round(place(0, view.x)));
      const top = Math.max(0, Math.floor(place(box.top, view.y) - around), Math.round(place(0, view.y)));
      const right = Math.min(width, Math.ceil(place(box.right + 1, view.x) + around), Math.round(place(mask.width, view.x)));
      const bottom = Math.min(height, Math.ceil(place(box.bottom + 1, view.y) + around), Math.round(place(mask.height, view.y)));
      if (left >= right || top >= bottom) return;
      if (this.state.soft) this.drawSoft(left, top, right, bottom, sigma);
      else this.drawHard(left, top, right, bottom);
    }

    blur() {
      return Math.max(0, Number(this.root.dataset.blur) || 0);
    }

    // The mask's values at pixels of the layer, `step` apart; beyond the mask they go on as at its edge.
    sampled(left, top, across, down, step) {
      const { mask, view } = this.state;
      const source = (first, count, offset, most) => Int32Array.from({ length: count }, (_, number) =>
        Math.min(most - 1, Math.max(0, Math.floor(((first + (number + 0.5) * step) / this.sharpness - offset) / view.scale))));
      const columns = source(left, across, view.x, mask.width);
      const rows = source(top, down, view.y, mask.height);
      const values = new Uint8Array(across * down);
      for (let y = 0; y < down; y++) {
        if (y && rows[y] === rows[y - 1]) {
          values.copyWithin(y * across, (y - 1) * across, y * across);
          continue;
        }
        const start = rows[y] * mask.width;
        for (let x = 0; x < across; x++) values[y * across + x] = mask.pixels[start + columns[x]];
      }
      return values;
    }

    drawHard(left, top, right, bottom) {
      const [across, down] = [right - left, bottom - top];
      const wide = across + 2; // one more on each side, to see where the mask ends
      const values = this.sampled(left - 1, top - 1, wide, down + 2, 1);
      const image = new ImageData(across, down);
      const inks = new Uint32Array(image.data.buffer);
      const { white } = this.state;
      for (let y = 0; y < down; y++) {
        for (let x = 0, at = (y + 1) * wide + 1; x < across; x++, at++) {
          const value = values[at];
          if (value && white) inks[y * across + x] = WHITES[value];
          else if (value) inks[y * across + x] = values[at - 1] && values[at + 1] && values[at - wide] && values[at + wide] ? INKS[value] : EDGE;
        }
      }
      this.context.putImageData(image, left, top);
    }

    // Wide blurs are worked out on a coarser grid and drawn larger.
    drawSoft(left, top, right, bottom, sigma) {
      const step = Math.max(1, Math.floor(sigma / 2));
      const around = Math.ceil((3 * sigma) / step) * step;
      const [startX, startY] = [left - around, top - around].map((start) => Math.floor(start / step) * step);
      const across = Math.ceil((right + around - startX) / step);
      const down = Math.ceil((bottom + around - startY) / step);
      const values = this.sampled(startX, startY, across, down, step);
      const softened = sigma / step < 0.4 ? values : blurred(values, across, down, sigma / step);
      const image = new ImageData(across, down);
      const inks = new Uint32Array(image.data.buffer);
      for (let at = 0; at < inks.length; at++) inks[at] = SOFT_INKS[Math.round(softened[at])];
      const sheet = new OffscreenCanvas(across, down);
      sheet.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
      this.context.save();
      this.context.beginPath();
      this.context.rect(left, top, right - left, bottom - top);
      this.context.clip();
      this.context.clearRect(left, top, right - left, bottom - top);
      this.context.drawImage(sheet, startX, startY, across * step, down * step);
      this.context.restore();
    }
  };
})();
