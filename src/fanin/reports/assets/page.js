
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children); // text goes in as text, so a name can never become markup
    return element;
  };

  // ---- Numbers ----------------------------------------------------------------------------------------------------
  const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  const superscript = (n) => [...String(n)].map((c) => SUPERSCRIPTS[c]).join("");
  const scientific = (v) => v.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2"); // 3.2e-7 → 3.20e-07, as in tables
  const number = (v, log) => {
    if (v === null || v === undefined) return "–";
    const size = Math.abs(v);
    if (v !== 0 && (log || size < 1e-3 || size >= 1e6)) return scientific(v);
    return String(+v.toPrecision(6));
  };

  // A power of ten, or a few digits and a power of ten: 10⁻⁷, 2×10⁻⁷, 0.5
  const tickLabel = (v) => {
    const rounded = +v.toPrecision(6);
    const size = Math.abs(rounded);
    if (size === 0 || (size >= 1e-3 && size < 1e5)) return String(rounded);
    const [digits, power] = rounded.toExponential().split("e");
    return `${digits === "1" ? "" : `${digits}×`}10${superscript(+power)}`;
  };
  const logTickLabel = (exponent) =>
    Number.isInteger(exponent) && Math.abs(exponent) > 2 ? `10${superscript(exponent)}` : tickLabel(10 ** exponent);

  // ---- Axes -------------------------------------------------------------------------------------------------------
  // A log axis is a plain axis of log10(y), so that its ticks can be decades when wide and 1, 2, 5 when narrow.
  const roundTicks = (low, high, wanted, integer) => {
    const raw = (high - low) / wanted;
    const power = 10 ** Math.floor(Math.log10(raw));
    let step = power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
    if (integer) step = Math.max(1, Math.round(step));
    const first = Math.ceil(low / step - 1e-9);
    const last = Math.floor(high / step + 1e-9);
    return Array.from({ length: last - first + 1 }, (_, i) => +((first + i) * step).toPrecision(12));
  };
  const logTicks = (low, high, wanted) => {
    if (high - low >= 2.5) return roundTicks(low, high, wanted, true);
    const dense = high - low < 0.7;
    if (dense) return roundTicks(10 ** low, 10 ** high, wanted, false).map(Math.log10);
    const digits = high - low < 1.4 ? [1, 2, 3, 5, 7] : [1, 2, 5];
    const decades = Array.from({ length: 5 }, (_, i) => Math.floor(low) + i);
    return decades.flatMap((d) => digits.map((m) => d + Math.log10(m))).filter((t) => t >= low && t <= high);
  };
  const padded = ([low, high], log) => {
    if (log) [low, high] = [Math.log10(low), Math.log10(high)];
    const room = high > low ? (high - low) * 0.04 : Math.abs(low) * 0.1 || 0.5;
    const fromZero = !log && low >= 0 && low < high * 0.3;
    return [fromZero ? 0 : low - room, high + room];
  };
  const span = (plot) => {
    const xs = plot.series.flatMap((s) => s.points.map((p) => p[0]));
    const [low, high] = [xs.reduce((a, b) => Math.min(a, b)), xs.reduce((a, b) => Math.max(a, b))];
    return high > low ? [low, high] : [low - 0.5, high + 0.5];
  };

  // ---- Lines: each has its own dash and its own mark, so that colour is never needed to tell them apart ---------------
  const COLOURS = 8;
  const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2], [1, 4], [14, 4], [6, 2, 1, 2, 1, 2]];
  const SHAPES = [
    "M5 0A5 5 0 1 1 4.99 0Z",
    "M0.6 0.6H9.4V9.4H0.6Z",
    "M5 0L10 9H0Z",
    "M5 -0.6L10.6 5L5 10.6L-0.6 5Z",
  ];
  const look = (series, colours) => ({
    colour: colours.series[series.colour % COLOURS],
    dash: DASHES[series.dash % DASHES.length],
    dots: series.dots,
    shape: SHAPES[series.colour % SHAPES.length],
    hollow: Math.floor(series.colour / SHAPES.length) % 2 === 1,
    width: (series.emphasis ? 3 : 1.75) * (series.points.length > 300 ? 0.6 : 1), // noise is finer than a curve
  });

  const sample = ({ colour, dash, dots, shape, hollow, width }, colours) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const part = (attributes) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      for (const [name, value] of Object.entries(attributes)) path.setAttribute(name, value);
      svg.append(path);
    };
    for (const [name, value] of Object.entries({ width: 34, height: 12, "aria-hidden": "true" })) svg.setAttribute(name, value);
    if (!dots) part({ d: "M0 6H34", stroke: colour, "stroke-width": width, "stroke-dasharray": dash.join(" "), fill: "none" });
    part({ d: shape, transform: "translate(13.5 2.5) scale(0.7)", stroke: colour, "stroke-width": 2, fill: hollow ? colours.paper : colour });
    return svg;
  };

  const lineSeries = (plot, series, index, colours) => {
    const { colour, dash, dots, shape, hollow, width } = look(series, colours);
    const { points } = series;
    const every = Math.ceil(points.length / 7);
    const offset = Math.floor((index * every) / plot.series.length); // marks of different lines stand apart
    const alone = (i) => (points[i - 1]?.[1] ?? null) === null && (points[i + 1]?.[1] ?? null) === null;
    const height = (y) => (y === null ? null : plot.log_y ? Math.log10(y) : y);
    return {
      type: "line",
      id: `line-${index}`,
      name: String(index),
      data: points.map(([x, y], i) => ({
        value: [x, height(y)],
        symbol: dots || i % every === offset || alone(i) ? `path://${shape}` : "none",
      })),
      symbolSize: dots ? (points.length > 100 ? 3.5 : 5) : series.emphasis ? 8 : 7,
      showAllSymbol: true,
      connectNulls: false,
      z: series.emphasis ? 4 : 3,
      lineStyle: { color: colour, width: dots ? 0 : width, type: dash.length ? dash : "solid", cap: "butt", join: "round" },
      itemStyle: { color: hollow ? colours.paper : colour, borderColor: colour, borderWidth: hollow ? 1.5 : 0 },
      emphasis: { focus: "series", lineStyle: { width: dots ? 0 : width + 0.75 }, scale: false },
      blur: { lineStyle: { opacity: 0.2 }, itemStyle: { opacity: 0.2 } },
    };
  };

  // The band: one polygon for each run of points that have both sides.
  const bandSeries = (plot, series, index, colours) => {
    const height = (y) => (plot.log_y ? Math.log10(y) : y);
    const runs = [];
    let open = false;
    for (const [x, , low = null, high = null] of series.points) {
      const drawn = low !== null && high !== null;
      if (drawn && !open) runs.push([]);
      if (drawn) runs.at(-1).push([x, height(low), height(high)]);
      open = drawn;
    }
    if (!runs.length) return [];
    return [{
      type: "custom",
      id: `band-${index}`,
      name: String(index),
      data: runs.map((run, i) => [run[0][0], run[0][1], i]),
      encode: { x: 0, y: 1 },
      clip: true,
      silent: true,
      z: 2,
      tooltip: { show: false },
      renderItem: (params, api) => {
        const run = runs[params.dataIndex];
        const edge = [...run.map(([x, low]) => [x, low]), ...run.map(([x, , high]) => [x, high]).reverse()];
        return {
          type: "polygon",
          shape: { points: edge.map((point) => api.coord(point)) },
          style: { fill: look(series, colours).colour, opacity: 0.15 },
          blur: { style: { opacity: 0.03 } },
        };
      },
    }];
  };

  // Where something starts: an upright line with its label above the plot, in as many rows as keep labels apart.
  const MARK_ROW = 15;
  const MARK_FONT = 12;
  const labelWidth = (mark) => mark.label.length * 7 + 6;
  const rowsOfMarks = (places) => {
    const ends = []; // of the last label of each row
    return places.map(({ left, right }) => {
      const free = ends.findIndex((end) => left >= end);
      const row = free < 0 ? ends.length : free;
      ends[row] = right;
      return row;
    });
  };
  const placesOfMarks = (marks, toPixel, [low, high]) => {
    const seen = marks.map((mark) => ({ mark, at: toPixel(mark.x) })).filter(({ at }) => at >= low - 1 && at <= high + 1);
    const placed = seen.map(({ mark, at }) => {
      const half = labelWidth(mark) / 2;
      const middle = Math.max(low + half - 30, Math.min(high + 8 - half, at)); // none is cut at an edge
      return { mark, at, middle, left: middle - half, right: middle + half };
    });
    const rows = rowsOfMarks(placed);
    return placed.map((place, i) => ({ ...place, row: rows[i] }));
  };
  const markSeries = (plot, colours) => {
    if (!plot.marks.length) return [];
    return [{
      type: "custom",
      id: "marks",
      name: "marks",
      data: [[plot.series[0].points[0][0], 0]],
      encode: { x: [], y: [] },
      clip: false,
      silent: true,
      z: 2,
      tooltip: { show: false },
      renderItem: (params, api) => {
        const { x, y, width, height } = params.coordSys;
        const colourOf = ({ severity }) => colours[severity] ?? colours.muted;
        const placed = placesOfMarks(plot.marks, (at) => api.coord([at, 0])[0], [x, x + width]);
        const children = placed.flatMap(({ mark, at, middle, row }) => {
          const foot = y - 2 - row * MARK_ROW;
          return [
            { type: "line", shape: { x1: at, y1: foot, x2: at, y2: y + height }, style: { stroke: colourOf(mark), lineWidth: 1, lineDash: [4, 3] } },
            { type: "text", style: { text: mark.label, x: middle, y: foot, align: "center", verticalAlign: "bottom", fill: colourOf(mark), font: `600 ${MARK_FONT}px ${colours.sans}`, backgroundColor: colours.paper } },
          ];
        });
        return { type: "group", children };
      },
    }];
  };
  const roomForMarks = (plot, width) => {
    if (!plot.marks.length) return 0;
    const [low, high] = span(plot);
    const toPixel = (at) => 60 + ((at - low) / (high - low)) * (width - 74);
    return MARK_ROW * (1 + Math.max(...placesOfMarks(plot.marks, toPixel, [60, width - 14]).map(({ row }) => row)));
  };

  // ---- Charts -----------------------------------------------------------------------------------------------------
  const resolved = () => {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    return {
      ...Object.fromEntries(["paper", "raised", "ink", "muted", "rule", "link", "sans", "error", "warning"].map((name) => [name, read(name)])),
      series: Array.from({ length: COLOURS }, (_, i) => read(`series-${i}`)),
    };
  };

  const tip = (plot, hits) => {
    const lines = hits.filter((hit) => hit.seriesType === "line");
    if (!lines.length) return "";
    const rows = lines.map((hit) => {
      const series = plot.series[+hit.seriesName];
      const [, y, low = null, high = null] = series.points[hit.dataIndex];
      const band = low === null ? "" : `${number(low, plot.log_y)} to ${number(high, plot.log_y)}`;
      const mark = make("td", {}, sample(look(series, resolved()), resolved()));
      return make("tr", {}, make("td", {}, series.name), mark, make("td", { className: "right" }, number(y, plot.log_y)), make("td", { className: "right" }, band));
    });
    const x = lines[0].value[0];
    const place = plot.places.find(([at]) => at === x)?.[1];
    const found = plot.marks.filter((mark) => mark.x === x).flatMap((mark) => mark.texts);
    const head = `${plot.x_label} ${number(x, false)}${place ? `, ${place}` : ""}`;
    return make("div", { className: "tip" }, head, make("table", {}, ...rows), ...found.map((text) => make("div", {}, text)));
  };

  const axisTicks = (plot, [x0, x1], [y0, y1], width) => {
    const x = roundTicks(x0, x1, Math.max(3, Math.min(10, width / 75)), plot.x_integer);
    const y = plot.log_y ? logTicks(y0, y1, 6) : roundTicks(y0, y1, 5, false);
    const labels = y.map(plot.log_y ? logTickLabel : tickLabel);
    const custom = (values) => ({ axisTick: { customValues: values }, axisLabel: { customValues: values } });
    return { grid: { left: 12 + 7.5 * Math.max(1, ...labels.map((label) => label.length)) }, xAxis: custom(x), yAxis: custom(y) };
  };

  const option = (plot, colours, width) => {
    const xs = span(plot);
    const ys = padded(plot.y_range, plot.log_y);
    const ticks = axisTicks(plot, xs, ys, width);
    const room = roomForMarks(plot, width);
    const text = { color: colours.muted, fontFamily: colours.sans, fontSize: 12 };
    const tool = { iconStyle: { borderColor: colours.muted }, emphasis: { iconStyle: { borderColor: colours.ink, textFill: colours.ink, textBackgroundColor: colours.paper, textPadding: 3 } } };
    return {
      animation: false, // a page to read: nothing moves, whatever the reader's motion preference
      aria: { enabled: true, label: { description: plot.description } },
      textStyle: { fontFamily: colours.sans },
      grid: { ...ticks.grid, right: 14, top: 40 + room, bottom: 44, outerBoundsMode: "none" },
      legend: { show: false },
      tooltip: {
        trigger: "axis",
        confine: true,
        transitionDuration: 0,
        backgroundColor: colours.paper,
        borderColor: colours.rule,
        padding: [6, 10],
        extraCssText: "box-shadow: 0 2px 10px rgb(0 0 0 / 0.15)",
        axisPointer: { type: "line", snap: true, animation: false, lineStyle: { color: colours.muted, type: "solid", width: 1 } },
        formatter: (hits) => tip(plot, hits),
      },
      toolbox: {
        right: 0,
        top: 0,
        itemSize: 14,
        itemGap: 12,
        ...tool,
        feature: {
          dataZoom: {
            filterMode: "none",
            title: { zoom: "Zoom: drag over the plot", back: "Back" },
            brushStyle: { color: colours.link, opacity: 0.15, borderWidth: 0 },
          },
          restore: { title: "Reset" },
        },
      },
      xAxis: {
        type: "value",
        min: xs[0],
        max: xs[1],
        name: plot.x_label,
        nameLocation: "middle",
        nameGap: 28,
        nameTextStyle: text,
        axisLine: { show: true, onZero: false, lineStyle: { color: colours.muted } },
        splitLine: { show: false },
        axisTick: { ...ticks.xAxis.axisTick, show: true, lineStyle: { color: colours.muted } },
        axisLabel: { ...ticks.xAxis.axisLabel, ...text, formatter: tickLabel, hideOverlap: true },
      },
      yAxis: {
        type: "value",
        min: ys[0],
        max: ys[1],
        name: plot.y_label,
        nameGap: 14 + room,
        nameTextStyle: { ...text, color: colours.ink, align: "left" },
        nameTruncate: { maxWidth: Math.max(120, width - 110) },
        axisLine: { show: false },
        splitLine: { lineStyle: { color: colours.rule, width: 1, opacity: 0.7 } },
        axisTick: { ...ticks.yAxis.axisTick, show: false },
        axisLabel: { ...ticks.yAxis.axisLabel, ...text, formatter: plot.log_y ? logTickLabel : tickLabel },
      },
      series: [
        ...plot.series.flatMap((s, i) => [lineSeries(plot, s, i, colours), ...bandSeries(plot, s, i, colours)]),
        ...markSeries(plot, colours),
      ],
    };
  };

  const chartOf = (figure) => {
    const plot = JSON.parse(figure.querySelector("script").textContent);
    const box = figure.querySelector(".chart");
    const legend = figure.querySelector(".legend");
    const chart = echarts.init(box, null, { renderer: "svg" });
    const hidden = new Set();

    const selected = () => Object.fromEntries(plot.series.map((_, i) => [i, !hidden.has(i)]));
    const retick = () => {
      const extent = (axis) => chart.getModel().getComponent(axis, 0).axis.scale.getExtent();
      chart.setOption(axisTicks(plot, extent("xAxis"), extent("yAxis"), box.clientWidth));
    };
    const drawLegend = (colours) => {
      legend.replaceChildren(...plot.series.map((series, i) => {
        const button = make("button", { type: "button" }, sample(look(series, colours), colours), make("span", {}, series.name));
        button.setAttribute("aria-pressed", String(!hidden.has(i)));
        button.addEventListener("click", () => {
          hidden.delete(i) || hidden.add(i);
          button.setAttribute("aria-pressed", String(!hidden.has(i)));
          chart.dispatchAction({ type: "legendToggleSelect", name: String(i) });
        });
        button.addEventListener("mouseenter", () => chart.dispatchAction({ type: "highlight", seriesName: String(i) }));
        button.addEventListener("mouseleave", () => chart.dispatchAction({ type: "downplay", seriesName: String(i) }));
        return button;
      }));
    };
    const draw = () => {
      const colours = resolved();
      const legendOption = { show: false, data: plot.series.map((_, i) => String(i)), selected: selected() };
      chart.setOption({ ...option(plot, colours, box.clientWidth), legend: legendOption }, { notMerge: true });
      drawLegend(colours);
    };

    draw();
    chart.on("datazoom", retick);
    chart.on("restore", () => {
      hidden.clear();
      draw();
    });
    const fit = (width) => {
      chart.resize(width ? { width } : {});
      retick();
    };
    new ResizeObserver(() => fit()).observe(box);
    return { draw, fit };
  };

  // ---- Heat maps: paper at the centre, one colour below it and one above, in ratios ---------------------------------
  const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const mixed = (from, to, share) => {
    const [a, b] = [channels(from), channels(to)];
    return `rgb(${a.map((v, i) => Math.round(v + (b[i] - v) * share)).join(",")})`;
  };
  const heatShare = (map, value) => (value > 0 ? Math.log(value / map.centre) / (map.extent || 1) : -1);
  const heatColour = (map, value, colours) => {
    if (value === null) return colours.rule;
    const share = heatShare(map, value);
    return mixed(colours.paper, colours.series[share < 0 ? 0 : 1], Math.min(1, Math.abs(share)) ** 0.6);
  };
  const onHeat = (map, value, colours) => (Math.abs(heatShare(map, value)) > 0.6 ? colours.paper : colours.ink);
  const edges = (places) => {
    if (places.length === 1) return [places[0] - 0.5, places[0] + 0.5];
    const inner = places.slice(1).map((v, i) => (v + places[i]) / 2);
    return [2 * places[0] - inner[0], ...inner, 2 * places.at(-1) - inner.at(-1)];
  };

  // An axis of names, or of few numbers, has one at each place; the left one is as wide as the longest.
  const WRITTEN = 200; // cells that have room for their number
  const FEW = 16;
  const nameAxes = (map, ticks, nameX, nameY) => {
    const axis = (own, places, names, formatter) => {
      if (!names.length && places.length > FEW) return own;
      return { axisTick: { customValues: places }, axisLabel: { customValues: places, formatter, hideOverlap: !names.length } };
    };
    const left = map.y_names.length ? 12 + 7 * Math.max(...map.y_names.map((name) => name.length)) : ticks.grid.left;
    return { grid: { ...ticks.grid, left }, xAxis: axis(ticks.xAxis, map.x, map.x_names, nameX), yAxis: axis(ticks.yAxis, map.y, map.y_names, nameY) };
  };

  const mapOf = (figure) => {
    const map = JSON.parse(figure.querySelector("script").textContent);
    const box = figure.querySelector(".chart");
    const legend = figure.querySelector(".legend");
    const chart = echarts.init(box, null, { renderer: "svg" });
    const [xs, ys] = [edges(map.x), edges(map.y)];
    const cells = map.values.flatMap((row, j) => row.map((value, i) => [i, j, value]));
    const frame = {
      x_label: map.x_label, y_label: map.y_label, log_y: false, x_integer: false,
      y_range: [ys[0], ys.at(-1)], description: map.description,
      series: [{ name: "", colour: 0, dash: 0, emphasis: false, points: [[xs[0], ys[0]], [xs.at(-1), ys.at(-1)]] }],
      marks: [], places: [],
    };
    const named = (places, names) => (at) => names[places.indexOf(at)] ?? number(at, false);
    const [nameX, nameY] = [named(map.x, map.x_names), named(map.y, map.y_names)];
    const said = (value) => (value === null ? map.beyond : number(value, false));
    const tipOf = ([i, j, value]) => {
      const row = (name, text) => make("tr", {}, make("td", {}, name), make("td", { className: "right" }, text));
      const rows = [row(map.x_label, nameX(map.x[i])), row(map.y_label, nameY(map.y[j])), row(map.value_label, said(value))];
      return make("div", { className: "tip" }, make("table", {}, ...rows));
    };
    const swatch = (colour, text) => {
      const mark = make("span", { className: "swatch" });
      mark.style.background = colour;
      return make("span", { className: "key" }, mark, text);
    };
    const drawLegend = (colours) => {
      const steps = [-1, -0.5, 0, 0.5, 1].map((share) => map.centre * Math.exp(share * map.extent));
      const ends = ["≤ ", "", "", "", "≥ "];
      const scale = steps.map((value, i) => swatch(heatColour(map, value, colours), ends[i] + tickLabel(+value.toPrecision(2))));
      const keys = [make("span", {}, map.value_label), ...scale];
      if (map.beyond) keys.push(swatch(colours.rule, map.beyond));
      if (map.line.length) keys.push(make("span", { className: "key" }, sample({ colour: colours.ink, dash: [], shape: "", hollow: false, width: 2 }, colours), map.line_name));
      legend.replaceChildren(...keys);
    };
    const draw = () => {
      const colours = resolved();
      const base = option(frame, colours, box.clientWidth);
      const corner = (api, i, j) => api.coord([xs[i], ys[j]]);
      const field = {
        type: "custom",
        data: cells,
        encode: { x: [], y: [] },
        clip: true,
        renderItem: (params, api) => {
          const [i, j, value] = cells[params.dataIndex];
          const [[left, bottom], [right, top]] = [corner(api, i, j), corner(api, i + 1, j + 1)];
          const shape = { x: left, y: Math.min(top, bottom), width: right - left + 0.5, height: Math.abs(bottom - top) + 0.5 }; // no seams
          const fill = heatColour(map, value, colours);
          const text = value === null || cells.length > WRITTEN || shape.width < 44 || shape.height < 16 ? "" : tickLabel(+value.toPrecision(2));
          return { type: "rect", shape, style: { fill }, textContent: { style: { text, fill: onHeat(map, value, colours), font: `12px ${colours.sans}` } }, textConfig: { position: "inside" } };
        },
      };
      const line = { type: "line", data: map.line, symbol: "none", silent: true, z: 4, lineStyle: { color: colours.ink, width: 2 } };
      chart.setOption({
        ...base,
        yAxis: { ...base.yAxis, min: ys[0], max: ys.at(-1), inverse: map.y_names.length > 0, nameLocation: map.y_names.length ? "start" : "end", splitLine: { show: false } },
        tooltip: { ...base.tooltip, trigger: "item", axisPointer: { type: "none" }, formatter: (hit) => tipOf(cells[hit.dataIndex]) },
        series: [field, line],
      }, { notMerge: true });
      retick();
      drawLegend(colours);
    };
    const retick = () => {
      const extent = (axis) => chart.getModel().getComponent(axis, 0).axis.scale.getExtent();
      chart.setOption(nameAxes(map, axisTicks(frame, extent("xAxis"), extent("yAxis"), box.clientWidth), nameX, nameY));
    };
    draw();
    chart.on("datazoom", retick);
    chart.on("restore", draw);
    const fit = (width) => {
      chart.resize(width ? { width } : {});
      retick();
    };
    new ResizeObserver(() => fit()).observe(box);
    return { draw, fit };
  };

  // ---- Light, dark, or as the system says -------------------------------------------------------------------------
  const dark = document.getElementById("dark");
  const AUTO = dark.media;
  const MEDIA = { auto: AUTO, light: "not all", dark: "screen" };

  const themeButton = (redraw) => {
    const button = document.getElementById("theme");
    const modes = Object.keys(MEDIA);
    const set = (mode) => {
      dark.media = MEDIA[mode];
      button.textContent = `Theme: ${mode}`;
      button.dataset.mode = mode;
      redraw();
    };
    button.addEventListener("click", () => set(modes[(modes.indexOf(button.dataset.mode) + 1) % modes.length]));
    button.hidden = false;
    set("auto");
  };

  // ---- Tables: sorted by a click on the column, searched when long ------------------------------------------------
  const sortable = (table) => {
    const body = table.tBodies[0];
    const key = (row, column) => {
      const cell = row.cells[column];
      if (cell.dataset.value === undefined) return cell.textContent;
      return Number(cell.dataset.value.replace("inf", "Infinity"));
    };
    const missing = (k) => k === "–" || k === "" || Number.isNaN(k);
    const words = new Intl.Collator(undefined, { numeric: true }); // layer 2 before layer 10
    const compare = (a, b) => {
      if (typeof a === typeof b) return typeof a === "number" ? a - b || 0 : words.compare(a, b); // ∞ - ∞ is NaN
      return typeof a === "number" ? -1 : 1;
    };
    all("th", table).forEach((head, column) => {
      const button = make("button", { type: "button" }, head.textContent);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        const keyed = [...body.rows].map((row) => ({ row, k: key(row, column) }));
        keyed.sort((a, b) => missing(a.k) - missing(b.k) || sign * compare(a.k, b.k)); // empty cells stay last
        body.append(...keyed.map(({ row }) => row));
        all("th", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      });
      head.replaceChildren(button);
    });
  };

  const searchable = (figure) => {
    const rows = all("tbody tr", figure);
    if (rows.length <= 12) return;
    const input = make("input", { type: "search", placeholder: "Search this table" });
    input.setAttribute("aria-label", "Search this table");
    const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
    const count = make("span", {}, `${rows.length} rows`);
    count.setAttribute("role", "status");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/);
      rows.forEach((row, i) => { row.hidden = !words.every((word) => texts[i].includes(word)); });
      const found = rows.filter((row) => !row.hidden).length;
      count.textContent = found === rows.length ? `${rows.length} rows` : `${found} of ${rows.length} rows`;
    });
    figure.querySelector(".scroll").before(make("div", { className: "search" }, input, count));
  };

  // ---- Start ------------------------------------------------------------------------------------------------------
  const drawn = all("figure.plot").filter((figure) => figure.querySelector(".chart")).map(chartOf);
  const charts = [...drawn, ...all("figure.map").map(mapOf)];
  const redraw = () => charts.forEach((chart) => chart.draw());
  themeButton(redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  all("figure.table table").forEach(sortable);
  all("figure.table").forEach(searchable);

  // Paper is light and narrower than the screen.
  const PAPER_WIDTH = 640;
  addEventListener("beforeprint", () => {
    const media = dark.media;
    dark.media = "not all";
    charts.forEach((chart) => { chart.draw(); chart.fit(PAPER_WIDTH); });
    addEventListener("afterprint", () => {
      dark.media = media;
      charts.forEach((chart) => { chart.draw(); chart.fit(); });
    }, { once: true });
  });
})();
