// Replaces the parts of a page that are marked `data-live` when something was hauled, and those marked `data-poll`,
// which show the progress of long work, every two seconds. The page is complete without it.
"use strict";
const marked = (mark) => document.querySelectorAll(`[${mark}]`);
const refresh = async (mark) => {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of marked(mark)) {
    const other = fresh.getElementById(part.id);
    // Nothing is taken away from whoever is using it.
    if (other !== null && !part.contains(document.activeElement)) part.replaceWith(other);
  }
};
if (marked("data-live").length > 0) new EventSource("/live").onmessage = () => refresh("data-live");
const poll = () => {
  if (marked("data-poll").length > 0) setTimeout(() => refresh("data-poll").catch(() => {}).then(poll), 2000);
};
poll();
