// The tabs: the one that was open is open again after a reload.
(() => {
  const TAB = "atelier.tab"; // of this tab of the browser
  const UNTIL_DRAWN_MS = 100;
  const TRIES = 100;

  // Called by Gradio when a tab is opened, by a click or by the server.
  atelier.opened = (id) => {
    atelier.store(sessionStorage, TAB, id);
    document.dispatchEvent(new Event("tabopened"));
  };

  const reopen = (id, tries) => {
    const button = document.getElementById(`tab_${id}-button`);
    if (button) button.click();
    else if (tries) setTimeout(reopen, UNTIL_DRAWN_MS, id, tries - 1);
  };
  // A page that is opened afresh begins where something is being drawn.
  const busy = async () => {
    const { body } = await atelier.get("internal/jobs/newest").catch(() => ({}));
    return body?.job && !body.ended ? body.task : null;
  };
  atelier.whenReady(async () => {
    const id = atelier.stored(sessionStorage, TAB, null) ?? await busy();
    if (id) reopen(id, TRIES);
  });
})();
