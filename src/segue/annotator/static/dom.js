// Small helpers for elements; text is always set as text, never as markup.
// @ts-check

/** @template {HTMLElement} T @param {string} id @returns {T} */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id}`);
  return /** @type {T} */ (element);
}

/**
 * An element with properties, `aria-…`/`data-…` attributes, `on…` handlers and children.
 * @param {string} tag @param {Record<string, any>} properties @param {(Node | string | null | false)[]} children
 * @returns {any}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (key === "style") Object.assign(element.style, value);
    else if (key.includes("-") || key === "role" || key === "for") element.setAttribute(key, String(value));
    else /** @type {any} */ (element)[key] = value;
  }
  for (const child of children) if (child !== null && child !== false) element.append(child);
  return element;
}

/** Make `nodes` the children of `parent`; those that are there already are not touched. @param {Element} parent @param {Element[]} nodes */
export function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const node of nodes) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}

/** Line icons on a 24-unit grid. */
const ICONS = {
  click: "M9 3v2M3 9h2M4.800 4.800l1.400 1.400M13.200 4.800l-1.400 1.400M4.800 13.200l1.400-1.400M9.500 9.500l11 4.200-4.900 1.900-1.900 4.900z",
  brush: "M14.500 5.500l4 4L9 19c-1.500 1.500-4 1.500-5.500 1.500C4.500 19.500 4 17 5 15.500zM12.500 7.500l4 4",
  eraser: "M8.500 19.500h11M5 15.500l8.500-9a2 2 0 0 1 2.900 0l2.600 2.600a2 2 0 0 1 0 2.900L11.500 19.500h-3L5 16zM9.500 11l5.500 5.500",
  hand: "M8 12.500V6a1.500 1.500 0 0 1 3 0v5m0-6.500a1.500 1.500 0 0 1 3 0V11m0-5a1.500 1.500 0 0 1 3 0v8c0 4-2.500 6.500-6 6.500-3 0-4.500-1.500-6-4l-2-3.500c-.8-1.500 1-2.500 2-1.500l1 1",
  undo: "M9 14L4.500 9.500 9 5M5 9.500h9a5 5 0 0 1 0 10h-3",
  redo: "M15 14l4.500-4.500L15 5M19 9.500h-9a5 5 0 0 0 0 10h3",
  plus: "M12 5v14M5 12h14", minus: "M5 12h14", check: "M5 12.500l4.500 4.500L19 7.500", close: "M6 6l12 12M18 6L6 18",
  fit: "M4 9V5a1 1 0 0 1 1-1h4M15 4h4a1 1 0 0 1 1 1v4M20 15v4a1 1 0 0 1-1 1h-4M9 20H5a1 1 0 0 1-1-1v-4",
  eye: "M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  hidden: "M4 4l16 16M9.900 5.800A9 9 0 0 1 12 5.500c6 0 9.500 6.500 9.500 6.500a16 16 0 0 1-3 3.700M6.500 7.200C3.900 8.900 2.500 12 2.500 12S6 18.500 12 18.500a9 9 0 0 0 4.200-1",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3", unlock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 6.800-1",
  more: "M6 12h.01M12 12h.01M18 12h.01", menu: "M4 7h16M4 12h16M4 17h16", trash: "M5 7h14M10 7V4.500h4V7M7 7l1 12.500h8L17 7",
  polygon: "M6 5.500l12 3-2.500 10-10-2.500zM6 5.500h.01M18 8.500h.01M15.500 18.500h.01M5.500 16h.01",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5", next: "M5 12h13M12.500 6.500L18 12l-5.500 5.500", up: "M12 19V6M6.500 11.500L12 6l5.500 5.500",
  down: "M12 5v13M6.500 12.500L12 18l5.500-5.500", star: "M12 4l2.400 5.200 5.600.700-4.100 3.900 1.100 5.600L12 16.600 7 19.400l1.100-5.600L4 9.900l5.600-.7z",
  download: "M12 4v11M7 10.500l5 5 5-5M5 20h14", upload: "M12 16V5M7 9.500l5-5 5 5M5 20h14", theme: "M12 4v16M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16z",
  help: "M9.200 9a3 3 0 1 1 4 2.800c-.8.4-1.200 1-1.200 2M12 17.200h.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", learn: "M4 18l5-6 4 3 7-9M15.500 6H20v4.500",
  find: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM20 20l-4.800-4.800", power: "M12 4v8M7.500 6.500a7 7 0 1 0 9 0", journal: "M6 4h12v16H6zM9 8.500h6M9 12h6M9 15.500h4",
  chart: "M5 19V5M5 19h14M9 15v-4M13 15V8M17 15v-2",
  comment: "M5 5h14v10.500h-7.500L7.500 19v-3.500H5z",
  filter: "M4 6h16M7 12h10M10 18h4", grid: "M4.500 4.500h6v6h-6zM13.500 4.500h6v6h-6zM4.500 13.500h6v6h-6zM13.500 13.500h6v6h-6z",
  cut: "M6 9a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM6 20a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM8 8l11 10M8 16L19 6",
  merge: "M9 15a5.500 5.500 0 1 1 5.900-6M15 20.500a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11z",
  lasso: "M7.500 15.700C4.800 14.700 3 12.800 3 10.500c0-3.400 4-6 9-6s9 2.600 9 6-4 6-9 6c-.7 0-1.400 0-2-.1M10 16.500a2.200 2.200 0 1 1-4.300-.5 2.200 2.200 0 0 1 4.300.5zM8 18.700c0 1.300-.7 2-2 2.300",
  spark: "M5 4h5v5H5zM14 5h5M16.500 2.500v5M5 15h5v5H5zM14 15h5v5h-5z",
  sliders: "M5 7h7M16 7h3M5 12h2M11 12h8M5 17h6M15 17h4M14 5v4M9 10v4M13 15v4",
  skip: "M6 6l7 6-7 6zM17 6v12",
};

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "i");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  if (name === "more") svg.style.strokeWidth = "3";
  svg.append(path);
  return svg;
}

/** @typedef {keyof typeof ICONS} IconName */

/**
 * A menu under (or over) an element, null for a rule; arrow keys move, Escape closes.
 * @param {HTMLElement} anchor
 * @param {({label: string, icon: IconName, keys?: string, danger?: boolean, disabled?: boolean, act: () => void} | null | false | undefined)[]} lines
 */
export function openMenu(anchor, lines) {
  document.querySelector(".menu")?.remove();
  const menu = h("div", { class: "menu", role: "menu" });
  for (const line of lines) {
    if (line === false || line === undefined) continue;
    if (!line) {
      menu.append(h("hr"));
      continue;
    }
    const button = h(
      "button",
      { role: "menuitem", class: line.danger ? "danger" : "", disabled: Boolean(line.disabled) },
      icon(line.icon), line.label, line.keys ? h("kbd", {}, line.keys) : null,
    );
    button.addEventListener("click", () => {
      close();
      line.act();
    });
    menu.append(button);
  }
  document.body.append(menu);
  const place = anchor.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(place.left, innerWidth - menu.offsetWidth - 8))}px`;
  const below = place.bottom + 4;
  menu.style.top = `${below + menu.offsetHeight > innerHeight - 8 ? Math.max(8, place.top - menu.offsetHeight - 4) : below}px`;
  anchor.setAttribute("aria-expanded", "true");
  /** @type {HTMLButtonElement[]} */
  const buttons = [...menu.querySelectorAll("button:not(:disabled)")];
  buttons[0]?.focus();

  function close() {
    menu.remove();
    anchor.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    anchor.focus({ preventScroll: true });
  }
  /** @param {PointerEvent} event */
  function outside(event) {
    if (!menu.contains(/** @type {Node} */ (event.target))) close();
  }
  menu.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const at = buttons.indexOf(/** @type {any} */ (document.activeElement));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) buttons[(at + step + buttons.length) % buttons.length].focus();
    else if (event.key === "Escape" || event.key === "Tab") close();
    else return event.stopPropagation();
    event.preventDefault();
    event.stopPropagation();
  });
  document.addEventListener("pointerdown", outside, true);
}

/** A modal dialog with a title; returns its body. @param {string} title @param {{wide?: boolean}} options */
export function openDialog(title, options = {}) {
  const body = h("div", { class: "body" });
  const dialog = h(
    "dialog",
    { class: options.wide ? "dialog wide" : "dialog", "aria-label": title },
    h("header", {}, h("h2", { class: "grow" }, title), h("button", { class: "icon", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"))),
    body,
  );
  dialog.addEventListener("close", () => {
    const notice = byId("notice");
    const shown = dialog.contains(notice) && notice.matches(":popover-open");
    if (dialog.contains(notice)) byId("work").append(notice);
    if (shown) notice.showPopover(); // what was said stays when the dialog goes
    dialog.remove();
  });
  dialog.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, body };
}
