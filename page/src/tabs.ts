/** Tabs by the ARIA pattern: arrows move, what a tab shows is made when it is first seen. */

import { element } from "./dom";

export interface Tab {
  title: string;
  /** Fills the panel; may return what takes it down again. */
  show(panel: HTMLElement): void | (() => void);
}

let made = 0;

export function tabs(label: string, entries: Tab[]): HTMLElement {
  const group = `tabs-${made++}`;
  const list = element("div", { role: "tablist", "aria-label": label, class: "tabs" });
  const panel = element("div", { role: "tabpanel", id: `${group}-panel`, class: "panel" });
  const buttons = entries.map((entry, index) =>
    element("button", { type: "button", role: "tab", id: `${group}-${index}`, "aria-controls": panel.id, tabindex: "-1" }, entry.title),
  );
  let close: void | (() => void);
  const choose = (index: number, focus: boolean): void => {
    close?.();
    panel.replaceChildren();
    buttons.forEach((button, place) => {
      button.setAttribute("aria-selected", String(place === index));
      button.tabIndex = place === index ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", buttons[index].id);
    if (focus) buttons[index].focus();
    close = entries[index].show(panel);
  };
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => choose(index, false));
    button.addEventListener("keydown", (event) => {
      const steps: Record<string, number> = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: buttons.length - 1 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      choose((steps[event.key] + buttons.length) % buttons.length, true);
    });
  });
  list.append(...buttons);
  const whole = element("div", { class: "card tabbed" }, list, panel);
  // The panel is filled when it is in the page, where texts know their width.
  requestAnimationFrame(() => choose(0, false));
  return whole;
}
