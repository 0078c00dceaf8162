// A folder of pictures under way: asks for it again and again, as the job view does for a job.
(() => {
  const SEEN_MS = 700;
  const HIDDEN_MS = 4000;
  const KEPT = "atelier.batch."; // by the form's prefix: the batch that this browser started there last

  const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

  // What stands in one line: where it is, or how it ended.
  const line = (batch) => {
    const worked = batch.done + batch.skipped + batch.failures;
    const parts = [];
    if (batch.state === "running") {
      parts.push(batch.stopping ? "Stopping" : `Drawing ${batch.name || "the first picture"}, ${Math.min(worked + 1, batch.total)} of ${batch.total}`);
    } else {
      const where = batch.done ? ` in ${batch.target}` : "";
      parts.push(`${batch.state === "stopped" ? "Stopped. " : ""}${count(batch.done, "picture", "pictures")} drawn${where}`);
    }
    if (batch.skipped) parts.push(`${batch.skipped} there already`);
    if (batch.failures) parts.push(`${batch.failures} failed`);
    return parts.join(" · ");
  };

  const failure = ({ name, sentence }) => {
    const item = document.createElement("li");
    const file = document.createElement("strong");
    file.textContent = name;
    item.append(file, sentence);
    return item;
  };

  class BatchLine {
    constructor(element, prefix) {
      this.element = element;
      this.prefix = prefix;
      this.id = atelier.stored(localStorage, KEPT + prefix, null);
      this.timer = 0;
      this.told = 0;
      element.addEventListener("click", (event) => {
        if (event.target.closest(".halt") && this.id) atelier.post(`internal/batches/${this.id}/stop`).then(() => this.ask(), () => {});
      });
      if (this.id) this.ask();
    }

    find(selector) { return this.element.querySelector(selector); }

    // A message from the server: a batch to follow, or why there is none.
    heard(message) {
      if (!message || message.at === this.told) return;
      this.told = message.at;
      const { problem } = message;
      atelier.markFields(this.element.closest(".work"), problem?.fields ?? {});
      if (problem) return this.say(problem.sentence);
      this.id = message.batch;
      atelier.store(localStorage, KEPT + this.prefix, this.id);
      this.ask();
    }

    say(sentence) {
      const view = this.find(".batch-view");
      view.dataset.state = sentence ? "said" : "none";
      this.find(".line").textContent = sentence;
      this.find(".lost").replaceChildren();
    }

    async ask() {
      clearTimeout(this.timer);
      const id = this.id;
      const answer = await atelier.get(`internal/batches/${id}`).catch(() => null);
      if (id !== this.id || !this.element.isConnected) return;
      if (answer?.status === 404) {
        // Atelier was started anew; what was drawn is in its folder.
        atelier.store(localStorage, KEPT + this.prefix, null);
        this.id = null;
        return this.say("");
      }
      if (answer?.ok) this.show(answer.body);
      if (!answer?.ok || answer.body.state === "running") {
        this.timer = setTimeout(() => this.ask(), document.hidden || !atelier.isShown(this.element) ? HIDDEN_MS : SEEN_MS);
      }
    }

    show(batch) {
      this.find(".batch-view").dataset.state = batch.state;
      this.find(".line").textContent = line(batch);
      const worked = batch.done + batch.skipped + batch.failures + batch.fraction;
      this.find(".bar i").style.transform = `scaleX(${Math.min(1, worked / Math.max(1, batch.total))})`;
      this.find(".lost").replaceChildren(...batch.failed.map(failure));
    }
  }

  atelier.openBatch = (element, prefix, props, watch) => {
    const shown = new BatchLine(element, prefix);
    const hear = () => shown.heard(props.value);
    watch("value", hear);
    hear();
  };
})();
