"use strict";

// The page works without this file; it counts characters, guards against double clicks and shows local times.

function countCharacters(field) {
  const counter = document.createElement("span");
  counter.className = "counter";
  const show = () => { counter.textContent = `${field.value.length} of ${field.maxLength}`; };
  field.addEventListener("input", show);
  field.after(counter);
  show();
}

function sendOnce(form) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    button.textContent = "Writing…";
  });
}

function showLocalTime(time) {
  const options = { dateStyle: "long", timeStyle: "short" };
  time.textContent = new Intl.DateTimeFormat(navigator.language, options).format(new Date(time.dateTime));
}

document.querySelectorAll("textarea[maxlength]").forEach(countCharacters);
document.querySelectorAll("form[method=post]").forEach(sendOnce);
document.querySelectorAll("time[datetime]").forEach(showLocalTime);
