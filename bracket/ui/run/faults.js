// Marks the fields that can't be read, each with its sentence under it, and in tables the very cell.
// Given by Gradio: element, props, watch.
const cells = document.createElement("style");
document.head.append(cells);

function clear() {
  document.querySelectorAll("p.fault").forEach((said) => said.remove());
  for (const field of document.querySelectorAll("[data-faulty]")) {
    for (const name of ["data-faulty", "aria-invalid", "aria-describedby"]) field.removeAttribute(name);
  }
  cells.textContent = "";
}

function mark(fault, number) {
  const block = document.getElementById(fault.id);
  if (!block) return;
  const said = document.createElement("p");
  Object.assign(said, { className: "fault", id: `fault-${number}`, textContent: fault.words });
  block.append(said);
  const cell = fault.cell && `[data-row="${fault.cell[0]}"][data-col="${fault.cell[1]}"]`;
  // By rule, not by class: a table draws only the rows in sight, and anew when they come there.
  if (cell) cells.textContent += `#${fault.id} ${cell} { box-shadow: inset 0 0 0 2px var(--bad); }\n`;
  const field = block.querySelector(cell || "input, textarea");
  if (!field) return;
  for (const [name, value] of [["data-faulty", ""], ["aria-invalid", "true"], ["aria-describedby", said.id]]) field.setAttribute(name, value);
}

function show() {
  clear();
  (props.value || []).forEach(mark);
}
watch("value", show);
show();
