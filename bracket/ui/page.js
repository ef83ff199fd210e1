// What belongs to the whole page: keys, the large picture, the help, what words mean, dark and light. Nothing is fetched from elsewhere.
(() => {
  const TABS = "#tabs button[role=tab]";
  const KEYS = [
    ["1 … 5", "Setup, Run, Monitor, Judge, Results"],
    ["r", "read the session again"],
    ["[  ]", "smooth the loss less or more"],
    ["f", "follow or hold the log"],
    ["←  →  ↓", "while you vote: left, right, no difference; u or Backspace undoes"],
    ["Esc", "close what lies over the page; a search goes on"],
    ["?", "this help"],
  ];
  const WORDS = window.bracketWords.map(([forms, ...rest]) => [new RegExp(`\\b(${forms})\\b`, "i"), ...rest]);
  const shown = (node) => node && node.offsetParent !== null;
  const press = (id) => document.getElementById(id)?.click();

  let before = null;

  function close() {
    const overlay = document.querySelector(".overlay");
    overlay?.remove();
    if (overlay) before?.focus({ preventScroll: true });
    const keep = document.getElementById("stop-keep");
    if (shown(keep)) keep.click();
  }

  function open(name, ...nodes) {
    document.querySelector(".overlay")?.remove();
    const overlay = document.createElement("div");
    before = document.activeElement;
    overlay.className = "overlay";
    overlay.tabIndex = -1;
    for (const [key, value] of [["role", "dialog"], ["aria-modal", "true"], ["aria-label", name]]) overlay.setAttribute(key, value);
    overlay.addEventListener("click", close);
    overlay.append(...nodes);
    document.querySelector(".gradio-container").append(overlay);
    overlay.focus();
  }

  function help() {
    const list = document.createElement("dl"), own = WORDS.filter(([, , , coined]) => coined).map(([, ...said]) => said);
    list.tabIndex = 0;
    for (const [key, what] of [...KEYS, ...own]) {
      const term = document.createElement("dt"), words = document.createElement("dd");
      term.textContent = key;
      words.textContent = what;
      list.append(term, words);
    }
    open("Keys and words", list);
  }

  function enlarge(image) {
    const large = document.createElement(image.localName), words = document.createElement("p");
    if (image.localName === "video") Object.assign(large, { autoplay: true, loop: true, muted: true });
    large.src = image.src;
    if ((image.naturalWidth || image.videoWidth) < 200) large.className = "tiny";
    words.textContent = image.dataset.large;
    open("A picture, large", large, words);
    large.alt = image.alt || words.textContent;
  }

  function smooth(by) {
    for (const slider of document.querySelectorAll(".chart input[type=range]")) {
      if (!shown(slider)) continue;
      slider.value = Number(slider.value) + by;
      slider.dispatchEvent(new Event("input"));
    }
  }

  function dark(on) {
    document.body.classList.toggle("dark", on);
    window.dispatchEvent(new Event("bracket-theme"));
  }

  function turn() {
    dark(!document.body.classList.contains("dark"));
    localStorage.setItem("bracket-dark", document.body.classList.contains("dark") ? "1" : "0");
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return close();
    if (event.target.dataset?.large && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      return enlarge(event.target);
    }
    const field = event.target.closest?.("input:not([type=range]), textarea, select, [contenteditable=true], [role=gridcell]");
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    const tab = document.querySelectorAll(TABS)[Number(event.key) - 1];
    if (tab && /^[1-9]$/.test(event.key)) tab.click();
    else if (event.key === "?") help();
    else if (event.key === "r") press("refresh");
    else if (event.key === "f") press("log-follow");
    else if (event.key === "[") smooth(-50);
    else if (event.key === "]") smooth(50);
  });

  // What a check's button does: it leads to the place, and fills in what it says; nothing is started or lost by it.
  function fill(node, value) {
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(node), "value").set.call(node, value);
    node.dispatchEvent(new Event("input", { bubbles: true }));
  }

  async function until(find) {
    for (let i = 0; i < 80; i++) {
      const node = find();
      if (node) return node;
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  // Opens the tab and the drawer a part lies in (Gradio draws what is shut only when it opens), and focuses its field.
  async function lead(tab, drawer, id) {
    document.querySelectorAll(TABS)[tab]?.click();
    const there = () => shown(document.getElementById(id)) && document.getElementById(id);
    if (drawer && !there()) (await until(() => document.querySelector(`#${drawer} button`)))?.click();
    const block = await until(there), field = block?.matches("button") ? block : block?.querySelector("input, textarea");
    field?.scrollIntoView({ block: "center" });
    field?.focus();
    return field;
  }

  async function trainer(name, next) {
    await lead(0, "trainers-drawer", "trainer");
    document.querySelector(`#trainer input[value="${CSS.escape(name)}"]`)?.click();
    await lead(0, "", next);
  }

  const DO = {
    weight: (number) => lead(0, "", `weight-${number}`),
    install: (name) => trainer(name, "trainer-install"),
    use: (name) => trainer(name, "trainer-have"),
    set: async (id, ...words) => {
      const field = await lead(1, id === "name" ? "" : "more", id);
      if (field) fill(field, words.join(" "));
    },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-do]");
    if (button) {
      const [verb, ...rest] = button.dataset.do.split(" ");
      return DO[verb]?.(...rest);
    }
    const image = event.target.closest?.("[data-large]");
    if (image) enlarge(image);
    else if (event.target.closest?.("#help")) help();
    else if (event.target.closest?.("#turn")) turn();
  });

  // The log stays at its end, unless somebody scrolled away from it; also when its tab is opened again.
  let away = false;
  document.addEventListener("scroll", (event) => {
    const log = event.target;
    if (log.matches?.("#log textarea")) away = log.scrollHeight - log.scrollTop - log.clientHeight > 40;
  }, true);
  window.bracketLogEnd = () => setTimeout(() => {
    const log = document.querySelector("#log textarea");
    if (shown(log) && !away) log.scrollTop = log.scrollHeight;
  }, 50);
  new MutationObserver(window.bracketLogEnd).observe(document, { subtree: true, attributeFilter: ["aria-selected"] });

  // Small pictures stay crisp when they are shown large; a broken one leaves its frame.
  document.addEventListener("load", (event) => {
    if (event.target.matches?.("img.frame") && event.target.naturalWidth < 200) event.target.style.imageRendering = "pixelated";
  }, true);

  // A clip that is not played shows the frame in its middle.
  document.addEventListener("loadedmetadata", (event) => {
    if (event.target.matches?.("video.frame")) event.target.currentTime = event.target.duration / 2;
  }, true);

  // What Gradio's parts leave unsaid to a screen reader; each selector no longer fits once it is mended.
  const MENDS = [
    [".header-icons [aria-label]:not([role])", { role: "img" }],
    [".search-input:not([aria-label])", { "aria-label": "Search the table" }],
  ];
  function mend() {
    for (const [selector, attributes] of MENDS)
      for (const node of document.querySelectorAll(selector))
        for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  }

  // A label says on hover, and its field to a screen reader, what its words mean; bracket's own are underlined.
  const LABELS = "[data-testid=block-info], label > span, .label > p, th, dt:not(.overlay dt), h2, h3, .stage b, .promises b, .tree > header b, .facts .tone, [role=tab], button.lg";
  const explained = new WeakMap();
  function explain() {
    for (const label of document.querySelectorAll(LABELS)) {
      const text = label.textContent.trim(), ours = explained.has(label);
      if (explained.get(label) === text || (label.title && !ours && !text.includes(label.title))) continue;
      const found = WORDS.filter(([forms]) => text.length < 90 && forms.test(text)), means = found.map(([, word, means]) => `${word}: ${means}`).join("\n");
      explained.set(label, text);
      if (!means && !ours) continue;
      label.title = means;
      label.classList.toggle("coined", !label.matches("button") && found.some(([, , , coined]) => coined));
      if (label.matches("label *")) label.closest("label").querySelector("input, textarea")?.setAttribute("aria-description", means);
    }
  }
  let due = 0;
  new MutationObserver(() => (due ||= setTimeout(() => { due = 0; mend(); explain(); }, 250))).observe(document.documentElement, { childList: true, subtree: true });

  window.bracketFrames?.();

  // Until the form is as it was left, what is chosen in it would be put back: so long it takes nothing.
  const rest = (on) => document.querySelectorAll("[role=tabpanel]").forEach((panel) => (panel.inert = on));
  const filling = setInterval(rest, 50, true);
  window.bracketFilled = () => { clearInterval(filling); rest(false); };
  setTimeout(window.bracketFilled, 20000);

  // Gradio sets the system's theme while it mounts, so a chosen one is put back once the tabs are there.
  const chosen = localStorage.getItem("bracket-dark");
  if (chosen !== null) {
    const wait = setInterval(() => {
      if (!document.querySelector(TABS)) return;
      clearInterval(wait);
      dark(chosen === "1");
    }, 50);
  }
})();
