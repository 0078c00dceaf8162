// Follows jobs by asking for them again and again: no connection stays open, so any number of tabs works.
(() => {
  const SEEN_MS = 400;
  const HIDDEN_MS = 1500;
  // Both by the form's prefix.
  const JOBS = "atelier.jobs."; // of this tab of the browser, oldest first: the one that is shown and those that wait behind it
  const OWN = "atelier.own."; // of this browser: the jobs that it started
  const OWN_KEPT = 50;

  const active = (job) => job.state === "queued" || job.state === "running";

  // `stage` shows: job(job, behind), lost(), offline(), and its `root` is in the form of that prefix. `task`: see openStage.
  // Returns { start(), follow(id), stop() }.
  atelier.followJobs = (stage, prefix, task) => {
    const work = stage.root.closest(".work");
    let jobs = atelier.stored(sessionStorage, JOBS + prefix, []);
    let current = null; // the id that is asked for
    let running = false; // whether that job has not ended yet, as far as is known
    let timer = 0;
    let turn = 0;

    const own = () => atelier.stored(localStorage, OWN + prefix, []);
    const keep = () => atelier.store(sessionStorage, JOBS + prefix, jobs);

    const setRunning = (now) => {
      running = now;
      const mine = running && own().includes(current);
      if (mine) work.dataset.ownJob = current;
      else delete work.dataset.ownJob;
    };

    const seen = () => !document.hidden && atelier.isShown(stage.root);
    const later = () => {
      clearTimeout(timer);
      if (running || seen()) timer = setTimeout(ask, seen() ? SEEN_MS : HIDDEN_MS);
    };

    const ask = async () => {
      clearTimeout(timer);
      if (!current) return;
      const mine = ++turn;
      let answer = null;
      try { answer = await atelier.get(`internal/job/${current}`); } catch { /* the server is away */ }
      if (mine !== turn) return;
      if (answer?.status === 404) return lost();
      if (!answer?.ok) {
        if (running) stage.offline();
        return later();
      }
      const job = answer.body;
      setRunning(active(job));
      stage.job(job, jobs.length - 1 - Math.max(0, jobs.indexOf(current)));
      if (running) later();
      else next();
    };

    // The job has ended. It stays the shown one unless another of this tab waits.
    const next = () => {
      const place = jobs.indexOf(current);
      if (place < 0 || place === jobs.length - 1) return;
      jobs = jobs.slice(place + 1);
      keep();
      current = jobs[0];
      ask();
    };

    const lost = () => {
      const was = running;
      setRunning(false);
      jobs = jobs.filter((id) => id !== current);
      keep();
      current = null;
      if (was) stage.lost();
      if (jobs.length) {
        current = jobs[0];
        ask();
      } else {
        attach();
      }
    };

    // With no job of its own the page shows what the studio is doing, or did last.
    const attach = async () => {
      try {
        const { body } = await atelier.get("internal/jobs/newest");
        if (current || body?.task !== task) return;
        current = body.job;
        ask();
      } catch { /* nothing to show, then */ }
    };

    const lookAgain = () => {
      if (seen() && running) ask();
    };
    document.addEventListener("visibilitychange", lookAgain);
    document.addEventListener("tabopened", () => setTimeout(lookAgain));

    return {
      start() {
        current = jobs[0] ?? own().at(-1) ?? null;
        if (current) ask();
        else attach();
      },
      follow(id) {
        atelier.store(localStorage, OWN + prefix, [...own(), id].slice(-OWN_KEPT));
        const busy = running && jobs.includes(current);
        jobs = busy ? [...jobs, id] : [id];
        keep();
        if (!busy) {
          current = id;
          setRunning(true);
        }
        ask();
      },
      stop() {
        if (running) atelier.post(`internal/job/${current}/stop`).then(ask, () => stage.offline());
      },
    };
  };
})();
