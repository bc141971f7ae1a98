"use strict";
(() => {
  const told = JSON.parse(document.getElementById("data").textContent);
  const live = document.getElementById("live");
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  /* An element with a class and children; a text is never markup. */
  const make = (tag, look, ...children) => {
    const element = document.createElement(tag);
    if (look) element.className = look;
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };
  const button = (words, action, look) => {
    const element = make("button", look, words);
    element.type = "button";
    element.addEventListener("click", action);
    return element;
  };

  /* Words. */
  const fates = {
    accepted: "It passes to the host", dropped: "It is dropped without a reply",
    rejected: "It is rejected: the sender gets an error", stolen: "A target holds it (NFQUEUE, for example)",
    vanished: "The kernel discarded it between two hooks", forwarded: "It is forwarded, out of the lab",
    queued: "It is queued to a program, which the lab does not have", tproxy: "It goes to a proxy, which is not in the lab",
  };
  const fatesOfReplies = { ...fates, accepted: "It leaves for the prober" };
  const parts = { probe: "Probe", answer: "Answer", followup: "Follow-up" };

  /* Light, dark, or what the system has. */
  const theme = document.getElementById("theme");
  const themes = ["system", "light", "dark"];
  let chosen = 0;
  theme.hidden = false;
  theme.addEventListener("click", () => {
    chosen = (chosen + 1) % themes.length;
    if (chosen === 0) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = themes[chosen];
    theme.querySelector("span").textContent = themes[chosen];
  });

  /* Bytes that are in the page itself. */
  document.querySelectorAll(".bytes").forEach(link);

  /* The matrix as a grid: one stop for Tab, arrows within. */
  document.querySelectorAll(".matrix").forEach((matrix) => {
    const part = matrix.closest(".part");
    const rows = [...matrix.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]);
    const cells = rows.flat().filter((cell) => cell.dataset.story !== undefined);
    if (cells.length === 0) return;
    matrix.setAttribute("role", "grid");
    matrix.querySelectorAll("tr").forEach((row) => row.setAttribute("role", "row"));
    matrix.querySelectorAll("thead th").forEach((head) => head.setAttribute("role", "columnheader"));
    matrix.querySelectorAll("tbody th").forEach((head) => head.setAttribute("role", "rowheader"));
    matrix.querySelectorAll("td").forEach((cell) => cell.setAttribute("role", "gridcell"));
    cells.forEach((cell) => {
      cell.tabIndex = -1;
      cell.setAttribute("aria-selected", "false");
    });
    const select = (cell, by) => {
      cells.forEach((other) => {
        other.tabIndex = other === cell ? 0 : -1;
        other.setAttribute("aria-selected", String(other === cell));
      });
      tell(part, told.stories[Number(cell.dataset.story)], by);
    };
    matrix.addEventListener("click", (event) => {
      const cell = event.target.closest("td[data-story]");
      if (!cell) return;
      cell.focus({ preventScroll: true });
      select(cell, "pointer");
    });
    matrix.addEventListener("keydown", (event) => {
      const cell = event.target.closest("td");
      if (!cell) return;
      let row = rows.findIndex((row) => row.includes(cell));
      let column = rows[row].indexOf(cell);
      const last = rows[row].length - 1;
      const go = {
        ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0],
        Home: [0, -column], End: [0, last - column],
      }[event.key];
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        select(cell, "pointer");
        part.querySelector(".story h3").focus();
        return;
      }
      if (!go) return;
      event.preventDefault();
      /* Cells that were not tried are passed over. */
      do {
        row += go[0];
        column += go[1] || (go[0] ? 0 : 1);
        if (!rows[row] || !rows[row][column]) return;
      } while (rows[row][column].dataset.story === undefined);
      rows[row][column].focus();
      select(rows[row][column], "keys");
    });
    part.querySelector(".keys").hidden = false;
    part.querySelector(".story").addEventListener("keydown", (event) => {
      if (event.key === "Escape") cells.find((cell) => cell.tabIndex === 0).focus();
    });
    const first = cells.find((cell) => cell.classList.contains("is-mismatched"))
      || cells.find((cell) => cell.querySelector(".logged")) || cells[0];
    select(first, "nobody");
  });

  /* Where the reader is, among many parts. */
  document.querySelectorAll(".jump").forEach((jump) => {
    const here = jump.querySelector(".here");
    const links = [...jump.querySelectorAll("a")];
    const arrive = (part) => links.forEach((link) => {
      if (link.hash !== `#${part.id}`) { link.removeAttribute("aria-current"); return; }
      link.setAttribute("aria-current", "location");
      link.parentElement.parentElement.scrollLeft = link.offsetLeft - link.parentElement.parentElement.clientWidth / 2;
      if (here) here.textContent = part.querySelector("h2").textContent.slice(0, 200);
    });
    const watch = new IntersectionObserver(
      (seen) => seen.filter((one) => one.isIntersecting).forEach((one) => arrive(one.target)),
      { rootMargin: "-20% 0px -75% 0px" });
    links.forEach((link) => watch.observe(document.getElementById(link.hash.slice(1))));
  });

  /* The story of a probe. */
  function tell(part, story, by) {
    const section = part.querySelector(".story");
    const body = section.querySelector(".story-body");
    section.hidden = false;
    section.querySelector("h3").textContent = story.title;
    body.replaceChildren(...[sub(story), versus(story), why(story), ...way(part, story), ...logs(story), ...answer(story), ...frames(story)].filter(Boolean));
    highlight(part, story);
    if (by !== "nobody") live.textContent = `${story.title}: ${story.state || "nothing seen"}, ${story.outcome || "observed"}`;
    if (by === "pointer" && section.getBoundingClientRect().top > innerHeight * 0.7) {
      section.scrollIntoView({ behavior: still.matches ? "auto" : "smooth", block: "start" });
    }
  }

  function sub(story) {
    const parts = [`nmap ${story.nmap}`, story.reason && `${story.state}, because of ${story.reason}`,
      story.conntrack && `${story.conntrack} to conntrack`,
      story.shown !== null && `the probe of port ${story.shown} is shown`];
    const badge = story.outcome ? make("span", `badge o-${story.outcome}`, story.outcome) : null;
    return make("p", "sub", badge, badge ? " " : null, parts.filter(Boolean).join(" · "));
  }

  function versus(story) {
    if (!story.outcome) return null;
    const side = (word, text, look) => make("div", look, make("dt", "", word), make("dd", "", text || "nothing"));
    const differs = story.outcome === "mismatched" ? "differs" : "";
    return make("dl", "versus", side("expected", story.expected), side("observed", story.observed, differs));
  }

  function why(story) {
    return story.why ? make("p", "why", story.why) : null;
  }

  /* Lanes: one for each stretch in a chain of a table. */
  function way(part, story) {
    if (story.way === null) return [];
    const parts = [make("h4", "", "The path through the rules")];
    const track = make("ol", "way");
    const first = story.frames.find((frame) => frame.part === "probe");
    track.append(stop(make("div", "packet", `${first ? first.glance : story.technique} arrives`)));
    lanes(track, told.ways[story.way], story, fates);
    if (story.answer !== null && told.ways[story.answer]) {
      const reply = story.frames.find((frame) => frame.part === "answer");
      track.append(stop(make("div", "packet", `the host replies${reply ? `: ${reply.glance}` : ""}`)));
      lanes(track, told.ways[story.answer], story, fatesOfReplies);
    }
    parts.push(stepper(track), track);
    return parts;
  }

  function stop(...children) {
    return make("li", "stop", ...children);
  }

  function lanes(track, path, story, ends) {
    let lane = null;
    let last = 0;
    for (const step of path.steps) {
      if (!lane || lane.chain !== `${step.table} ${step.chain}`) {
        lane = { chain: `${step.table} ${step.chain}`, list: make("ol", "way") };
        track.append(make("li", "lane", make("h5", "", lane.chain), lane.list));
        last = 0;
      }
      const passed = between(story, step, last);
      if (passed) lane.list.append(passed);
      last = step.rule || 0;
      lane.list.append(stop(rule(step)));
    }
    const end = stop(make("div", "packet", path.steps.length ? ends[path.fate] : `No rule matches it. ${ends[path.fate]}`));
    end.classList.add("end");
    track.append(end);
  }

  function rule(step) {
    const isLog = /-j (LOG|NFLOG)\b/.test(step.text);
    const verdict = make("span", `verdict ${isLog ? "log" : step.verdict}`, isLog ? "log, continue" : step.verdict);
    const element = make("div", "rule", make("span", "n", step.rule === undefined ? "–" : String(step.rule)),
      make("code", "", step.text), verdict);
    element.dataset.line = step.line === undefined ? "" : String(step.line);
    return element;
  }

  /* The rules that looked at the packet and did not match. Of a long ruleset not all of them are shown. */
  function between(story, step, last) {
    if (story.ruleset === null) return null;
    const ruleset = told.rulesets[story.ruleset];
    const length = ruleset.lengths.find(([table, chain]) => table === step.table && chain === step.chain);
    const end = step.rule === undefined ? (length ? length[2] : 0) : step.rule - 1;
    if (end <= last) return null;
    const rules = ruleset.rules.filter((rule) =>
      rule.table === step.table && rule.chain === step.chain && rule.rule > last && rule.rule <= end).slice(0, 200);
    const numbers = end === last + 1 ? `rule ${end} does` : `rules ${last + 1} to ${end} do`;
    const list = make("ol", "", ...rules.map((rule) => make("li", "", `${rule.rule} `, make("code", "", rule.text))));
    const more = end - last - rules.length;
    if (more > 0) list.append(make("li", "note", `${more} more are not shown here.`));
    return make("li", "passed", make("details", "", make("summary", "", `${numbers} not match`), list));
  }

  function stepper(track) {
    const stops = [...track.querySelectorAll(".stop")];
    let at = -1;
    let playing = null;
    const count = make("span", "note", `${stops.length} steps`);
    const halt = () => {
      clearInterval(playing);
      playing = null;
      play.textContent = "Play";
    };
    const show = (to) => {
      at = Math.max(-1, Math.min(to, stops.length - 1));
      stops.forEach((stop, place) => {
        stop.classList.toggle("now", place === at);
        stop.classList.toggle("later", at >= 0 && place > at);
        if (place === at) stop.setAttribute("aria-current", "step");
        else stop.removeAttribute("aria-current");
      });
      back.disabled = at <= 0;
      next.disabled = at === stops.length - 1;
      count.textContent = at < 0 ? `${stops.length} steps` : `step ${at + 1} of ${stops.length}`;
      if (at >= 0) live.textContent = stops[at].textContent;
      if (at === stops.length - 1) halt();
    };
    const back = button("Back", () => { halt(); show(at - 1); });
    const next = button("Step", () => { halt(); show(at + 1); }, "next");
    const play = button("Play", () => {
      if (playing) { halt(); return; }
      if (still.matches) { show(stops.length - 1); return; }
      show(at === stops.length - 1 ? 0 : at + 1);
      play.textContent = "Pause";
      playing = setInterval(() => (track.isConnected ? show(at + 1) : halt()), 900);
    });
    back.disabled = true;
    return make("div", "steps", next, back, play, count);
  }

  /* `KEY=value` and bare words, behind the rule's own prefix. */
  function line(record) {
    const rest = record.line.startsWith(record.prefix) ? record.line.slice(record.prefix.length) : record.line;
    const element = make("p", "log");
    if (record.prefix) element.append(make("span", "prefix", record.prefix), " ");
    for (const word of rest.trim().split(" ")) {
      const at = word.indexOf("=");
      if (at > 0) element.append(make("span", "key", word.slice(0, at + 1)), word.slice(at + 1), " ");
      else element.append(make("b", "", word), " ");
    }
    return element;
  }

  function logs(story) {
    const parts = [make("h4", "", "In the log")];
    if (story.log.length === 0) parts.push(make("p", "note", "No line."));
    parts.push(...story.log.map(line));
    if (story.followup.length) parts.push(make("h4", "", "In the log, of what followed"), ...story.followup.map(line));
    return parts;
  }

  function answer(story) {
    if (!story.reason) return [];
    const reply = story.frames.find((frame) => frame.part === "answer");
    const words = reply ? `${reply.glance} (${story.reason}), so the scanner says ` : `${story.reason}, so the scanner says `;
    const greeting = story.greeting ? make("p", "", "The service greets: ", make("code", "", story.greeting)) : null;
    return [make("h4", "", "The answer"), make("p", "", words, make("b", "", story.state || "nothing"), "."), greeting].filter(Boolean);
  }

  function frames(story) {
    if (story.frames.length === 0) {
      return story.more_frames ? [make("h4", "", "On the wire"), make("p", "note", "The page is too long to show the bytes of every probe; this one’s are left out.")] : [];
    }
    const place = make("div", "");
    const tabs = make("div", "frames");
    const show = (number) => {
      [...tabs.children].forEach((tab, other) => tab.setAttribute("aria-pressed", String(number === other)));
      place.replaceChildren(bytes(story.frames[number]));
    };
    story.frames.forEach((frame, number) => tabs.append(button(`${parts[frame.part] || frame.part}: ${frame.glance}`, () => show(number))));
    show(0);
    const more = story.more_frames ? make("p", "note", `${story.more_frames} more frames are not shown.`) : null;
    return [make("h4", "", "On the wire"), tabs, place, more].filter(Boolean);
  }

  /* Bytes and fields, which light each other up. */
  function bytes(frame) {
    const hex = make("div", "hex");
    hex.setAttribute("role", "img");
    hex.setAttribute("aria-label", `${frame.hex.length / 2} bytes ${frame.direction}; the tables below name each of them`);
    const layerOf = [];
    const lists = frame.layers.map((layer, depth) => {
      const look = `l${depth % 4}`;
      const body = make("tbody", "");
      for (const [name, start, end, value, note] of layer.fields) {
        for (let byte = start; byte < end; byte += 1) layerOf[byte] = look;
        const row = make("tr", "", make("th", "", told.words[name]),
          make("td", "", told.words[value], note < 0 ? null : make("span", "note", told.words[note])));
        row.firstChild.scope = "row";
        row.dataset.from = start;
        row.dataset.to = end;
        body.append(row);
      }
      return make("table", "fields", make("caption", look, told.words[layer.name], layer.quoted ? " (quoted)" : ""), body);
    });
    const wide = matchMedia("(max-width: 34rem)").matches ? 8 : 16;
    for (let at = 0; at * 2 < frame.hex.length; at += 1) {
      if (at % wide === 0) {
        const number = make("span", "at", at.toString(16).padStart(4, "0"));
        hex.append(...(at ? [document.createElement("br")] : []), number);
      }
      const cell = make("span", `b ${layerOf[at] || "l0"}`, frame.hex.slice(at * 2, at * 2 + 2));
      hex.append(cell, at % 8 === 7 && at % wide !== wide - 1 ? "\u2002" : "");
    }
    const all = make("div", "bytes", hex, make("div", "", ...lists));
    link(all);
    return all;
  }

  function link(all) {
    const cells = [...all.querySelectorAll(".hex .b")];
    const rows = [...all.querySelectorAll(".fields tr[data-from]")].map((row) =>
      ({ row, start: Number(row.dataset.from), end: Number(row.dataset.to) }));
    const light = (start, end) => {
      cells.forEach((cell, at) => cell.classList.toggle("on", at >= start && at < end));
      rows.forEach((one) => one.row.classList.toggle("on", one.start < end && one.end > start));
    };
    rows.forEach(({ row, start, end }) => {
      row.tabIndex = 0;
      const on = () => {
        cells.forEach((cell, at) => cell.classList.toggle("on", at >= start && at < end));
        rows.forEach((one) => one.row.classList.toggle("on", one.row === row));
      };
      row.addEventListener("mouseenter", on);
      row.addEventListener("focus", on);
      row.addEventListener("mouseleave", () => light(0, 0));
      row.addEventListener("blur", () => light(0, 0));
    });
    cells.forEach((cell, at) => {
      cell.addEventListener("mouseenter", () => light(at, at + 1));
      cell.addEventListener("mouseleave", () => light(0, 0));
    });
  }

  /* The rules on the way, in the ruleset below. */
  function highlight(part, story) {
    part.querySelectorAll(".rules .on-path").forEach((row) => row.classList.remove("on-path"));
    if (story.ruleset === null || story.way === null) return;
    const ruleset = part.querySelector(`details[data-ruleset="${story.ruleset}"]`);
    if (!ruleset) return;
    for (const step of told.ways[story.way].steps) {
      const row = step.line && ruleset.querySelector(`tr[data-line="${step.line}"]`);
      if (row) row.classList.add("on-path");
    }
  }

  /* Paper has no clicks. */
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details:not([open])")];
    unfolded.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => unfolded.forEach((one) => { one.open = false; }));
})();
