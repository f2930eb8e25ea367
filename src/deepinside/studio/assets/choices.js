// Buttons for the classes of a photo, each with a bar of its probability, or for the photos of a run.
function button(chosen, parts, chose) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "di-choice";
  made.setAttribute("aria-pressed", String(chosen));
  for (const [kind, text] of parts) {
    const part = document.createElement("span");
    part.className = `di-${kind}`;
    part.textContent = text;
    made.append(part);
  }
  made.addEventListener("click", chose);
  return made;
}

function ofClass(each) {
  const percent = `${(100 * each.probability).toFixed(1)}%`;
  const made = button(each.chosen, [["name", each.label], ["share", percent], ["bar", ""]], () => trigger("select", { index: each.index }));
  made.dataset.index = each.index;
  made.querySelector(".di-bar").style.setProperty("--share", percent);
  return made;
}

function ofPhoto(each) {
  const state = each.judged ? "judged" : `${Math.round(100 * each.need)}%`;
  const made = button(each.chosen, [["name", each.name], ["share", state], ["why", each.why]], () => trigger("select", { key: each.key }));
  made.dataset.key = each.key;
  return made;
}

function show() {
  const view = props.value || {};
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.index || document.activeElement.dataset.key : null;
  const made = [...(view.classes || []).map(ofClass), ...(view.photos || []).map(ofPhoto)];
  element.querySelector(".di-choices").replaceChildren(...made);
  made.find((each) => focused && (each.dataset.index === focused || each.dataset.key === focused))?.focus();
}
watch("value", show);
show();
