// Replaces the parts of a page that are marked `data-live` when something was hauled. The page is complete without it.
"use strict";
const parts = () => document.querySelectorAll("[data-live]");
if (parts().length > 0) {
  const source = new EventSource("/live");
  source.onmessage = async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts()) {
      const other = fresh.getElementById(part.id);
      // Nothing is taken away from whoever is using it.
      if (other !== null && !part.contains(document.activeElement)) part.replaceWith(other);
    }
  };
}
