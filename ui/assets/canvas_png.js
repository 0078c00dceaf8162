// Masks as files: grey PNGs are written byte by byte, because a browser's canvas writes colours only and may round them.
(() => {
  const STRIP = 512; // rows that are read at once

  const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
    return value;
  });

  // Length, name, data, and the checksum of name and data (PNG specification, section 5.3).
  const chunk = (name, data) => {
    const bytes = new Uint8Array(data.length + 12);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, data.length);
    bytes.set([...name].map((letter) => letter.charCodeAt(0)), 4);
    bytes.set(data, 8);
    let sum = 0xffffffff;
    for (let at = 4; at < data.length + 8; at++) sum = CRC[(sum ^ bytes[at]) & 255] ^ (sum >>> 8);
    view.setUint32(data.length + 8, ~sum);
    return bytes;
  };

  // The pixels are copied before anything is waited for, so that painting may go on meanwhile.
  atelier.greyPng = async (pixels, width, height) => {
    const rows = new Uint8Array((width + 1) * height); // each row begins with its filter's number, 0 for none
    for (let y = 0; y < height; y++) rows.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
    const header = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]); // 8 bits of grey
    new DataView(header.buffer).setUint32(0, width);
    new DataView(header.buffer).setUint32(4, height);
    const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
    const data = new Uint8Array(await new Response(packed).arrayBuffer());
    const signature = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);
    return new Blob([signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", new Uint8Array())], { type: "image/png" });
  };

  // An image, decoded. Fails when there is none at that address.
  atelier.decoded = async (address) => {
    const image = new Image();
    image.src = address;
    await image.decode();
    return image;
  };

  // The greys of a picture, fitted to that size; in strips, as all four channels at once would take much memory.
  atelier.greyPixels = async (address, width, height) => {
    const image = await atelier.decoded(address);
    const strip = new OffscreenCanvas(width, Math.min(STRIP, height));
    const context = strip.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    const pixels = new Uint8Array(width * height);
    for (let top = 0; top < height; top += STRIP) {
      const rows = Math.min(STRIP, height - top);
      context.drawImage(image, 0, -top, width, height);
      const { data } = context.getImageData(0, 0, width, rows);
      for (let at = 0; at < width * rows; at++) pixels[top * width + at] = data[at * 4];
    }
    return pixels;
  };
})();
