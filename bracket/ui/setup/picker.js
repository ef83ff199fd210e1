// The preset's field, a combobox: what is typed is searched for by the app, arrows and Enter choose, Escape puts back.
// Given by Gradio: element, props, server, trigger, watch.
const field = element.querySelector("input"), list = element.querySelector("[role=listbox]");
const status = element.querySelector(".hits");
let asked = 0, timer = 0, shown = "";

const title = () => props.titles[props.value] || props.value || "";
const typed = () => (field.value === title() ? "" : field.value);

const options = () => [...list.querySelectorAll("[role=option]")];
const active = () => list.querySelector(".active");
const open = () => !list.hidden;

function shut() {
  clearTimeout(timer);
  asked++;
  list.hidden = true;
  status.textContent = "";
  field.setAttribute("aria-expanded", "false");
  field.removeAttribute("aria-activedescendant");
  field.value = title();
}

function go(option) {
  active()?.classList.remove("active");
  if (!option) return field.removeAttribute("aria-activedescendant");
  option.classList.add("active");
  field.setAttribute("aria-activedescendant", option.id);
  // Only the list scrolls: the page stays where it is.
  const top = option.offsetTop, end = top + option.offsetHeight;
  if (top < list.scrollTop + 24) list.scrollTop = top - 24;
  else if (end > list.scrollTop + list.clientHeight) list.scrollTop = end - list.clientHeight;
}

// `take`: Enter was faster than the list.
async function show(query, take = false) {
  clearTimeout(timer);
  const mine = ++asked;
  let answer;
  try {
    answer = await server.find({ query, chosen: props.value });
  } catch {
    answer = { html: "", said: "The list can't be had: the app does not answer." };
  }
  if (mine !== asked || document.activeElement !== field) return;
  list.innerHTML = answer.html;
  shown = query;
  list.hidden = !answer.html;
  status.textContent = answer.said;
  field.setAttribute("aria-expanded", String(open()));
  go(query ? options()[0] : list.querySelector("[aria-selected=true]") || options()[0]);
  if (take && open()) choose(active());
}

function choose(option) {
  const changed = option && option.dataset.name !== props.value;
  if (changed) props.value = option.dataset.name;
  shut();
  field.select();
  if (changed) trigger("input");
}

function move(by) {
  const all = options(), place = all.indexOf(active());
  go(all[by === -Infinity ? 0 : by === Infinity ? all.length - 1 : Math.min(Math.max(place + by, 0), all.length - 1)]);
}

field.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => show(typed()), 90);
});
field.addEventListener("focus", () => field.select());
field.addEventListener("click", () => open() || show(""));
field.addEventListener("blur", shut);
field.addEventListener("keydown", (event) => {
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
  if (event.key in steps && !open()) show(typed());
  else if (event.key in steps) move(steps[event.key]);
  else if (event.key === "Enter" && open() && shown === typed()) choose(active());
  else if (event.key === "Enter" && typed()) show(typed(), true);
  else if (event.key === "Escape" && (open() || status.textContent)) shut();
  else return;
  event.preventDefault();
  event.stopPropagation();
});
// Before the field loses the focus, which would shut the list under the pointer.
list.addEventListener("mousedown", (event) => event.preventDefault());
list.addEventListener("click", (event) => {
  const option = event.target.closest("[role=option]");
  if (option) choose(option);
});
watch("value", () => open() || document.activeElement === field || shut());
shut();
