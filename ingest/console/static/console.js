// Replaces the parts of a page that are marked `data-live` when something was hauled, and those marked `data-poll`,
// which show the progress of long work, every two seconds. The page is complete without it.
"use strict";
const marked = (mark) => document.querySelectorAll(`[${mark}]`);
const refresh = async (mark) => {
  const answer = await fetch(location.href, { headers: { accept: "text/html", "x-mailhaul-refresh": "1" } });
  if (answer.status === 401) location.reload(); // to the page to log in
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of marked(mark)) {
    const other = fresh.getElementById(part.id);
    // Nothing is taken away from whoever is using it.
    if (other !== null && !part.contains(document.activeElement)) part.replaceWith(other);
  }
};
const pause = (seconds) => new Promise((go) => setTimeout(go, 1000 * seconds));

const poll = async () => {
  while (marked("data-poll").length > 0) {
    await pause(2);
    await refresh("data-poll").catch(() => {});
  }
};

// Browsers open few connections to a host, so all tabs share one: the tab that holds the lock listens, and passes on
// what it hears; when it is closed, another one gets the lock. Without locks (plain HTTP) hidden tabs do not listen.
const channel = new BroadcastChannel("mailhaul-live");
const shown = () => new Promise((go) => {
  if (!document.hidden) go();
  else document.addEventListener("visibilitychange", go, { once: true });
});
let stale = false;
const changed = async () => {
  if (stale) return;
  stale = true;
  await shown();
  stale = false;
  await refresh("data-live").catch(() => {});
};
const listen = () => new Promise((end) => {
  const source = new EventSource("/live");
  const stop = () => {
    source.close();
    end();
  };
  source.onmessage = () => {
    channel.postMessage("changed");
    changed();
  };
  // The session has ended: no tab goes on showing mail, and each shows the page to log in.
  source.addEventListener("logged_out", () => {
    channel.postMessage("logged_out");
    location.reload();
  });
  // The server answers 204 where a session has enough connections, and 401 where it has ended, which refreshing shows.
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return;
    stop();
    refresh("data-live").catch(() => {});
  };
  if (!navigator.locks) document.addEventListener("visibilitychange", stop, { once: true });
});
const follow = async () => {
  channel.onmessage = (message) => (message.data === "logged_out" ? location.reload() : changed());
  for (;;) {
    if (navigator.locks) await navigator.locks.request("mailhaul-live", listen).then(() => pause(30));
    else await shown().then(listen).then(() => document.hidden || pause(30));
  }
};

poll();
if (marked("data-live").length > 0) follow();
