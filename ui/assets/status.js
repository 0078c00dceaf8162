// The status line: how the worker is, its device and memory, how many jobs wait.
(() => {
  const EVERY_MS = 2000;
  const UNTIL_DRAWN_MS = 150;
  const WORDS = { starting: "Getting ready", ready: "Ready", busy: "Drawing", restarting: "Restarting", broken: "Not working" };
  atelier.status = null;

  const gigabytes = (bytes) => (bytes / 2 ** 30).toFixed(bytes < 10 * 2 ** 30 ? 1 : 0);

  const say = (part, text) => {
    const place = atelier.find(`#status .${part}`);
    if (place && place.textContent !== text) place.textContent = text;
  };

  const show = (status) => {
    const line = atelier.find("#status");
    if (!line) return;
    const worker = status?.worker;
    line.querySelector(".dot").dataset.state = worker ? worker.state : "gone";
    line.title = worker?.sentence ?? "";
    say("worker", worker ? WORDS[worker.state] ?? worker.state : "No answer from Atelier. Is it still running?");
    say("device", worker?.device ?? "");
    say("memory", worker?.memory_total ? `${gigabytes(worker.memory_used)} of ${gigabytes(worker.memory_total)} GB` : "");
    say("queue", status ? (status.waiting ? `${status.waiting} waiting` : "Nothing waiting") : "");
    say("version", status ? `Atelier ${status.version}` : "");
  };

  const look = async () => {
    if (!atelier.find("#status")) return setTimeout(look, UNTIL_DRAWN_MS);
    if (!document.hidden) {
      try {
        const answer = await atelier.get("internal/status");
        atelier.status = answer.body;
      } catch {
        atelier.status = null;
      }
      show(atelier.status);
    }
    setTimeout(look, EVERY_MS);
  };

  atelier.whenReady(look);
  document.addEventListener("visibilitychange", () => show(atelier.status));
})();
