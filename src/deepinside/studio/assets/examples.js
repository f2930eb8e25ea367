// The example photos: one that is chosen is opened as if somebody had brought it.
element.querySelector(".di-examples").replaceChildren(
  ...props.value.map((name) => {
    const made = document.createElement("button");
    const image = document.createElement("img");
    made.type = "button";
    image.src = `studio/photo?photo=${encodeURIComponent(name)}`;
    image.alt = `example ${name}`;
    made.append(image);
    made.addEventListener("click", () => trigger("select", { photo: name }));
    return made;
  }),
);
