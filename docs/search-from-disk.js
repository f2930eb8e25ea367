// Search when the site is opened from the disk: browsers start no worker there, so its script runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super();
      const frame = Object.assign(document.createElement("iframe"), { hidden: true, srcdoc: "<body></body>" });
      this.ready = new Promise((resolve) => {
        frame.onload = () => {
          const inside = frame.contentWindow;
          const answer = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          inside.postMessage = answer;
          const element = inside.document.createElement("script");
          element.onload = () => resolve(inside);
          element.src = script;
          inside.document.body.append(element);
        };
      });
      document.documentElement.append(frame);
    }
    async postMessage(data) {
      (await this.ready).dispatchEvent(new MessageEvent("message", { data }));
    }
    terminate() {}
  };
}
