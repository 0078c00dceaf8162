// Under the stage: the facts of the chosen picture, and what can be done with it.
(() => {
  const SAID_MS = 1600;

  const memory = (bytes) => (bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GB` : `${Math.round(bytes / 2 ** 20)} MB`);
  const seconds = (all) => Object.values(all).reduce((sum, one) => sum + one, 0);
  const inStages = (all) => Object.entries(all).map(([stage, time]) => `${stage} ${time.toFixed(1)} s`).join(", ");

  const borders = (grow) => Object.entries(grow).filter(([, pixels]) => pixels).map(([side, pixels]) => `${side} ${pixels}`).join(", ");
  const maskText = ({ blur, blur_y: down, invert, content, area, padding, soft }) => {
    const where = area === "Only masked" ? `only masked, padding ${padding}` : "whole picture";
    return [`blur ${blur}${down === null ? "" : ` × ${down}`}`, content, where, invert ? "not masked" : "", soft ? "soft" : ""].filter(Boolean).join(", ");
  };
  const hiresText = ({ model, upscaler, scale, width, height, steps, denoising_strength: strength }) => {
    const size = width || height ? "" : `${scale}×`;
    return [model, upscaler, size, steps ? `${steps} steps` : "", `strength ${strength}`].filter(Boolean).join(", ");
  };

  const controlText = ({ preprocessor, model, weight, start, end }) => {
    const steps = start > 0 || end < 1 ? `from ${Math.round(start * 100)} to ${Math.round(end * 100)} %` : "";
    return [preprocessor === "none" ? "" : preprocessor, model, weight === 1 ? "" : `weight ${weight}`, steps].filter(Boolean).join(", ");
  };

  const upscaleText = ({ upscaler, second, second_visibility: visibility, detail, faces, faces_visibility: shown }) => {
    const mixed = visibility && second !== "None" ? `${second} at ${visibility}` : "";
    const restored = shown && faces !== "None" ? `faces by ${faces}${shown < 1 ? ` at ${shown}` : ""}` : "";
    return [upscaler, mixed, detail ? `details ${detail.denoising_strength}` : "", restored].filter(Boolean).join(", ");
  };

  // A request without a model only makes a picture larger.
  const facts = (shot) => (shot.job.request.model ? drawnFacts(shot) : [["Size", size(shot.picture)], ["Upscaler", upscaleText(shot.job.request.upscale)]])
    .concat(costs(shot.job)).filter(([, value]) => value !== "");

  const size = ({ width, height }) => `${width} × ${height}`;

  const costs = (job) => {
    const time = seconds(job.seconds);
    return [
      ["Time", time ? `${time.toFixed(1)} s` : "", inStages(job.seconds)],
      ["Memory", job.peak_memory ? memory(job.peak_memory) : "", "The most that was in use"],
    ];
  };

  const drawnFacts = ({ job, picture }) => {
    const { request } = job;
    const { image, mask, hires, refiner, upscale, controls } = request;
    // The infotext names the schedule that "Automatic" stood for.
    const schedule = /Schedule type: ([^,\n]+)/.exec(picture.infotext)?.[1] ?? request.scheduler;
    return [
      ["Seed", picture.seed],
      ["Size", size(picture)],
      ["Steps", request.steps],
      ["Sampler", `${request.sampler}, ${schedule}`],
      ["CFG", request.guidance],
      ["Strength", image ? image.denoising_strength : ""],
      ["Mask", mask ? maskText(mask) : ""],
      ["Extended", image ? borders(image.grow) : ""],
      ...controls.map((control, place) => [controls.length > 1 ? `ControlNet ${place + 1}` : "ControlNet", controlText(control)]),
      ["Hires fix", hires ? hiresText(hires) : ""],
      ["Refiner", refiner ? `${refiner.model} from ${Math.round(refiner.switch_at * 100)} %` : ""],
      ["Upscaler", upscale ? upscaleText(upscale) : ""],
      ["Model", request.model, job.model_hash],
    ];
  };

  const item = ([name, value, title]) => {
    const line = document.createElement("li");
    const label = document.createElement("span");
    label.textContent = name;
    line.append(label, ` ${value}`);
    line.title = title ?? "";
    return line;
  };

  const note = (text) => {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  };

  atelier.showAbout = (root, shot) => {
    const find = (selector) => root.querySelector(selector);
    const unsaved = shot.picture.saved ? [] : ["This picture could not be saved. Download it to keep it."];
    find(".facts").replaceChildren(...facts(shot).map(item));
    find(".notes").replaceChildren(...[...unsaved, ...shot.job.notes].map(note));
    const download = find(".download");
    download.href = `${shot.picture.url}?download=1`;
    download.download = shot.picture.name;
    find("[data-deed=folder]").hidden = !atelier.status?.local;
    find("[data-deed=seed]").hidden = !shot.job.request.model;
    find("[data-deed=copy]").hidden = !shot.picture.infotext;
    compare(find, shot.job.request);
  };

  // What a picture was made larger from lies over its left part, as far as the slider says.
  const compare = (find, { model, image }) => {
    const [before, line] = [find(".before"), find(".compare")];
    const slider = line.querySelector("input");
    const place = () => before.parentElement.style.setProperty("--at", `${slider.value}%`);
    line.hidden = before.hidden = Boolean(model);
    if (model) return before.removeAttribute("src");
    before.src = `internal/inputs/${image.picture}.png`;
    slider.oninput = place;
    place();
  };

  // A button says for a moment what it did.
  const said = (button, text) => {
    button.dataset.label ??= button.textContent;
    button.textContent = text;
    clearTimeout(Number(button.dataset.timer));
    button.dataset.timer = String(setTimeout(() => { button.textContent = button.dataset.label; }, SAID_MS));
  };

  const copy = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    // Pages without https have no clipboard of their own; the old way still works there.
    const box = document.createElement("textarea");
    box.value = text;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    if (!done) throw new Error("not copied");
  };

  // The request for this very picture, as Request.alone in backend/types.py.
  const alone = ({ job: { request }, picture: { seed } }) => {
    const all = request.image ? [request.image.picture, ...request.image.more] : [];
    const image = request.image && { ...request.image, picture: all[((seed - request.seed) % request.batch_size) % all.length], more: [] };
    return { ...request, image, seed, batch_count: 1, batch_size: 1 };
  };

  atelier.deeds = {
    settings: (shot, button, trigger) => {
      trigger("reuse", { request: alone(shot) });
      said(button, "Filled in");
    },
    seed: ({ picture }, button) => {
      atelier.setNumber(`${atelier.prefixOf(button)}_seed`, picture.seed);
      said(button, "Filled in");
    },
    // The server already has the picture; only its name goes through the browser.
    send: async ({ job, picture }, button, trigger) => {
      const answer = await atelier.post("internal/inputs/of-job", { job: job.id, index: job.pictures.indexOf(picture) }).catch(() => null);
      if (answer?.ok) {
        trigger("send", { tab: button.dataset.tab, picture: answer.body.id, request: alone({ job, picture }) });
        return said(button, "Sent");
      }
      said(button, "Not sent");
      button.title = answer?.body?.detail ?? "No answer from Atelier.";
    },
    copy: ({ picture }, button) => copy(picture.infotext).then(() => said(button, "Copied"), () => said(button, "Not copied")),
    folder: async (_shot, button) => {
      const answer = await atelier.post("internal/open-folder").catch(() => null);
      said(button, answer?.ok ? "Opened" : "Could not open");
      if (!answer?.ok) button.title = answer?.body?.detail ?? "";
    },
  };
})();
