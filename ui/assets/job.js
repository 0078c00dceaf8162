// Follows jobs by asking for them again and again: no connection stays open, so any number of tabs works.
(() => {
  const SEEN_MS = 400;
  const HIDDEN_MS = 1500;
  const JOBS = "atelier.jobs"; // of this tab, oldest first: the one that is shown and those that wait behind it
  const OWN = "atelier.own"; // of this browser: the jobs that it started
  const OWN_KEPT = 50;

  const active = (job) => job.state === "queued" || job.state === "running";

  // `stage` shows: job(job, behind), lost(), offline(). Returns { start(), follow(id), stop() }.
  atelier.followJobs = (stage) => {
    let jobs = atelier.stored(sessionStorage, JOBS, []);
    let current = null; // the id that is asked for
    let running = false; // whether that job has not ended yet, as far as is known
    let timer = 0;
    let turn = 0;

    const own = () => atelier.stored(localStorage, OWN, []);
    const keep = () => atelier.store(sessionStorage, JOBS, jobs);

    const setRunning = (now) => {
      running = now;
      const mine = running && own().includes(current);
      if (mine) document.body.dataset.ownJob = current;
      else delete document.body.dataset.ownJob;
    };

    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(ask, document.hidden ? HIDDEN_MS : SEEN_MS);
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
        if (current || !body?.job) return;
        current = body.job;
        ask();
      } catch { /* nothing to show, then */ }
    };

    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && running) ask();
    });

    return {
      start() {
        current = jobs[0] ?? own().at(-1) ?? null;
        if (current) ask();
        else attach();
      },
      follow(id) {
        atelier.store(localStorage, OWN, [...own(), id].slice(-OWN_KEPT));
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
