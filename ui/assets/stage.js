// The stage: a job's progress, its preview that turns into the picture, the pictures and what is known of them.
(() => {
  const SPOKEN_EVERY = 0.25;
  const STAGES = { load: "Loading the model", encode: "Reading the prompt", control: "Reading the control pictures", upscale: "Making it larger", decode: "Finishing the picture", save: "Saving" };

  const timeLeft = (seconds) => {
    if (seconds == null) return "";
    if (seconds < 1) return " · almost done";
    return seconds < 90 ? ` · ${Math.ceil(seconds)} s left` : ` · ${Math.round(seconds / 60)} min left`;
  };

  const progressText = (job) => {
    if (job.cancelling) return "Stopping";
    if (job.state === "queued") {
      if (job.position > 0) return `Queued, ${job.position} before you`;
      const worker = atelier.status?.worker?.state;
      return worker === "starting" || worker === "restarting" ? "Getting ready" : "Starting";
    }
    if (job.stage === "denoise") return `Step ${job.step} of ${job.steps}${timeLeft(job.eta_s)}`;
    return STAGES[job.stage] ?? "Starting";
  };

  const countText = (job, behind) => {
    const first = job.image + 1;
    const last = Math.min(job.images, job.image + job.request.batch_size);
    const images = first === last ? `Image ${first} of ${job.images}` : `Images ${first}–${last} of ${job.images}`;
    return [job.images > 1 && job.state === "running" ? images : "", behind > 0 ? `${behind} more queued` : ""].filter(Boolean).join(" · ");
  };

  class Stage {
    constructor(root) {
      this.root = root;
      this.find = (selector) => root.querySelector(selector);
      this.shots = []; // finished pictures of this visit: { job, picture }
      this.chosen = -1;
      this.shown = 0; // counts what was asked to be shown, so that a slow picture cannot replace a newer one
      this.preview = ""; // job and revision of the preview on show
      this.fetching = null; // settles when that one is there
      this.endedJob = null; // whose end the sentence on the stage may be about
      this.spoken = { job: "", part: -1 };
    }

    job(job, behind) {
      if (job.state === "queued" || job.state === "running") return this.active(job, behind);
      this.idle();
      this.ended(job);
    }

    active(job, behind) {
      const bar = this.find(".progress");
      const text = progressText(job);
      if (this.endedJob && this.endedJob !== job.id) this.trouble(null);
      this.endedJob = null;
      const percent = Math.round(100 * job.fraction);
      bar.hidden = false;
      bar.classList.toggle("waiting", job.stage !== "denoise" && job.fraction === 0);
      bar.setAttribute("aria-valuenow", String(percent));
      bar.setAttribute("aria-valuetext", text);
      bar.querySelector("i").style.transform = `scaleX(${job.fraction})`;
      bar.querySelector(".said").textContent = text;
      bar.querySelector(".more").textContent = countText(job, behind);
      this.speak(job, text);
      const preview = `${job.id}/preview.jpg?${job.preview}`;
      // One at a time: on a slow line each would push the one before it away, and none would ever be seen.
      if (job.preview && preview !== this.preview && !this.fetching) {
        this.preview = preview;
        const [width, height] = job.size;
        this.fetching = this.show(`internal/job/${preview}`, { width, height }, "The picture so far", "preview").finally(() => (this.fetching = null));
      }
    }

    idle() {
      const bar = this.find(".progress");
      bar.hidden = true;
      bar.querySelector("i").style.transform = "scaleX(0)";
    }

    ended(job) {
      const first = this.shots.length;
      this.endedJob = job.id;
      if (!this.shots.some((shot) => shot.job.id === job.id)) this.shots.push(...job.pictures.map((picture) => ({ job, picture })));
      const fresh = this.shots.length > first;
      if (fresh) this.choose(first);
      if (job.state === "done") this.say(fresh ? `${job.pictures.length === 1 ? "The picture is" : `${job.pictures.length} pictures are`} ready.` : "");
      else if (job.state === "cancelled") this.trouble("Stopped", job.sentence?.replace(/^Stopped\. /, ""), true);
      else this.trouble("That did not work", job.sentence ?? "The reason is not known. Please try again.");
      if (!fresh && job.state !== "done") this.withoutPicture();
    }

    // A job ended with nothing to show: back to the picture before it, or to the empty stage.
    withoutPicture() {
      if (this.chosen >= 0) this.choose(this.chosen, true);
      else this.mode("empty");
    }

    lost() {
      this.idle();
      this.trouble("This job is gone", "Atelier was started again in the meantime. Pictures that were finished are in the outputs folder.");
      this.withoutPicture();
    }

    offline() {
      this.find(".progress .said").textContent = "No answer from Atelier; trying again";
    }

    mode(name) {
      this.root.dataset.mode = name;
      this.find(".about").hidden = name !== "picture";
    }

    // Put an image on the stage, once it is decoded: what was there stays until then.
    async show(address, size, alt, mode) {
      const turn = ++this.shown;
      const image = new Image();
      image.src = address;
      try { await image.decode(); } catch { return; }
      if (turn !== this.shown) return;
      const picture = this.find(".picture");
      picture.src = address;
      picture.alt = alt;
      const frame = this.find(".frame");
      frame.style.setProperty("--width", size.width);
      frame.style.setProperty("--height", size.height);
      this.mode(mode);
    }

    choose(number, quietly) {
      const shot = this.shots[number];
      if (!shot) return;
      this.chosen = number;
      this.preview = "";
      if (!quietly) this.trouble(null);
      const { prompt } = shot.job.request;
      this.show(shot.picture.url, shot.picture, prompt ? `Picture: ${prompt}` : "Picture without a prompt", "picture");
      atelier.showAbout(this.root, shot);
      this.drawStrip();
      const full = this.find(".full");
      if (full.open) this.fill(full);
    }

    step(by) {
      if (this.shots.length > 1) this.choose((this.chosen + by + this.shots.length) % this.shots.length);
    }

    drawStrip() {
      const strip = this.find(".strip");
      strip.hidden = this.shots.length < 2;
      while (strip.children.length < this.shots.length) strip.append(this.thumbnail(strip.children.length));
      [...strip.children].forEach((button, number) => button.setAttribute("aria-pressed", String(number === this.chosen)));
      const chosen = strip.children[this.chosen];
      if (chosen && !strip.hidden) strip.scrollTo({ left: chosen.offsetLeft - strip.clientWidth / 2, behavior: "instant" });
    }

    thumbnail(number) {
      const { picture } = this.shots[number];
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `Picture ${number + 1}, seed ${picture.seed}`);
      const image = document.createElement("img");
      Object.assign(image, { src: picture.url, alt: "", loading: "lazy", draggable: false });
      button.append(image);
      button.addEventListener("click", () => this.choose(number));
      return button;
    }

    // Sentences stand in the middle of an empty stage, and above a picture.
    trouble(title, sentence, quiet = false) {
      const card = this.find(".trouble");
      card.hidden = !title;
      card.classList.toggle("quiet", quiet);
      card.querySelector("strong").textContent = title ?? "";
      card.querySelector("p").textContent = sentence ?? "";
    }

    refused(problem) {
      const marked = Object.keys(problem?.fields ?? {}).length > 0;
      atelier.markFields(this.root.closest(".work"), problem?.fields ?? {});
      if (!problem) this.trouble(null);
      else this.trouble(marked ? "Please look at the marked fields" : "That did not work", [...Object.values(problem.fields), problem.sentence].filter(Boolean).join(" "));
    }

    speak(job, text) {
      const part = job.state === "queued" ? -1 : Math.floor(job.fraction / SPOKEN_EVERY);
      if (this.spoken.job === job.id && this.spoken.part === part) return;
      this.spoken = { job: job.id, part };
      this.say(text);
    }

    say(text) {
      this.find(".spoken").textContent = text;
    }

    // On a small screen the stage may be far from the button that was pressed.
    comeIntoView() {
      const { top, bottom } = this.find(".stage").getBoundingClientRect();
      if (bottom < innerHeight / 3 || top > innerHeight / 2) this.root.scrollIntoView({ block: "start", behavior: "smooth" });
    }

    open() {
      const full = this.find(".full");
      if (this.root.dataset.mode !== "picture" || full.open) return;
      this.fill(full);
      full.showModal();
    }

    fill(full) {
      const { picture } = this.shots[this.chosen];
      const image = full.querySelector("img");
      image.src = picture.url;
      image.alt = this.find(".picture").alt;
      image.style.setProperty("--width", picture.width);
      image.style.setProperty("--height", picture.height);
    }
  }

  const listen = (stage, trigger) => {
    const full = stage.find(".full");
    stage.find(".frame").addEventListener("click", () => stage.open());
    full.addEventListener("click", () => full.close());
    stage.root.addEventListener("click", (event) => {
      const deed = event.target.closest("[data-deed]");
      if (deed) atelier.deeds[deed.dataset.deed](stage.shots[stage.chosen], deed, trigger);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      if (!atelier.isShown(stage.root)) return;
      if (event.target !== document.body && !stage.root.contains(event.target)) return;
      stage.step(event.key === "ArrowLeft" ? -1 : 1);
    });
  };

  // Called by the view when Gradio has drawn it. Its value carries messages from Python; see follow.py.
  // `prefix` is that of the form's elem_ids, `task` the jobs that a page shows here which was opened afresh.
  atelier.openStage = (element, [prefix, task], props, watch, trigger) => {
    const stage = new Stage(element.querySelector(".view"));
    const follower = atelier.followJobs(stage, prefix, task);
    listen(stage, trigger);
    watch("value", () => {
      const message = props.value;
      if (message?.jobs?.length) {
        stage.refused(message.problem);
        message.jobs.forEach(follower.follow);
        stage.comeIntoView();
      } else if (message) {
        stage.refused(message.problem);
      }
    });
    document.addEventListener("click", (event) => {
      if (event.target.closest?.(`#${prefix}_stop`)) follower.stop();
    });
    atelier.lastSeed[prefix] = () => stage.shots[stage.chosen]?.picture.seed ?? null;
    follower.start();
  };
  atelier.lastSeed = {}; // by prefix
})();
