// Draws tables as charts, so that a chart and its table cannot disagree.
//
//   <table data-chart="line|bar|bars" data-series="1,2" data-title="…" data-unit="%" data-stacked>
//
// The first column has the labels, of which days are shortened; data-series names the columns that are drawn (from 1, after the labels). "bars" lie.
// The table moves into a <details> below the chart. Without scripts it simply stays where it is.
(() => {
  const drawn = [];
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" });
  const label = (text) => (/^\d{4}-\d\d-\d\d$/.test(text) ? short.format(new Date(text)) : text);
  const numberOf = (cell) => {
    const text = cell.dataset.value ?? cell.textContent.replace(/[,\s%]|ms$/g, "");
    return text === "" || text === "–" ? null : Number(text);
  };

  function read(table) {
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    const rows = [...table.tBodies[0].rows];
    const columns = (table.dataset.series ?? "1").split(",").map(Number);
    return {
      labels: rows.map((row) => label(row.cells[0].textContent.trim())),
      series: columns.map((at) => ({ name: heads[at], values: rows.map((row) => numberOf(row.cells[at])) })),
    };
  }

  function options(table) {
    const lying = table.dataset.chart === "bars";
    const text = { color: colour("--text") };
    const grid = { color: colour("--line") };
    const stacked = "stacked" in table.dataset;
    const unit = table.dataset.unit ? ` ${table.dataset.unit}` : "";
    const amounts = { ticks: { ...text, precision: 0, callback: (value) => value.toLocaleString() + unit }, grid, stacked, beginAtZero: true };
    const labels = { ticks: { ...text, maxRotation: 0, autoSkipPadding: 16 }, grid: { display: false }, stacked };
    return {
      responsive: true,
      maintainAspectRatio: false,
      animation: false,
      indexAxis: lying ? "y" : "x",
      interaction: { mode: "index", intersect: false, axis: lying ? "y" : "x" },
      plugins: {
        legend: { labels: { ...text, boxWidth: 12, boxHeight: 12 }, position: "bottom" },
        tooltip: { callbacks: { label: ({ dataset, formattedValue }) => `${dataset.label}: ${formattedValue}${unit}` } },
      },
      scales: lying ? { x: amounts, y: labels } : { x: labels, y: amounts },
    };
  }

  function datasets(series, kind) {
    return series.map((one, at) => {
      const ink = colour(`--series-${(at % 4) + 1}`);
      return {
        label: one.name,
        data: one.values,
        borderColor: ink,
        backgroundColor: kind === "line" ? ink + "22" : ink,
        borderWidth: kind === "line" ? 2 : 0,
        pointRadius: one.values.length > 45 ? 0 : 2,
        cubicInterpolationMode: "monotone",
        fill: kind === "line" && series.length === 1,
      };
    });
  }

  function draw(table) {
    const { labels, series } = read(table);
    const kind = table.dataset.chart === "line" ? "line" : "bar";
    const box = document.createElement("div");
    const canvas = document.createElement("canvas");
    box.className = "chart";
    if (table.dataset.chart === "bars") box.style.height = `${60 + labels.length * (18 + 10 * series.length)}px`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${table.dataset.title ?? "Chart"}: the table below has its figures`);
    box.append(canvas);
    const sheet = table.closest(".sheet") ?? table;
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = "Table";
    sheet.before(box, details);
    details.append(summary, sheet);
    const chart = new Chart(canvas, { type: kind, data: { labels, datasets: datasets(series, kind) }, options: options(table) });
    drawn.push({ table, chart, kind });
  }

  function again({ table, chart, kind }) {
    const { labels, series } = read(table);
    chart.data = { labels, datasets: datasets(series, kind) };
    chart.options = options(table);
    chart.update("none");
  }

  document.addEventListener("themechange", () => drawn.forEach(again));
  document.addEventListener("tablechange", (event) => drawn.filter((one) => one.table === event.target).forEach(again));
  for (const table of document.querySelectorAll("table[data-chart]")) if (table.tBodies[0]?.rows.length) draw(table);
})();
