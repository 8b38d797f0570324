/// The look of the report: of one family with the admin page.
enum ReportStyle {
    static let sheet: StaticString = """
        :root {
          --ground: #fbfaf7; --panel: #ffffff; --ink: #1d2327; --dim: #56616a; --line: #d9dcd6;
          --bad: #b3261e; --warn: #a15c00; --focus: #0b57d0; --span: rgba(179, 38, 30, .09);
          --s0: #1f6f8b; --s1: #b4540a; --s2: #6040a8; --s3: #2f7a3a; --s4: #a8266f; --s5: #6b6100;
          --p0: #c9a227; --p1: #1f6f8b; --p2: #8fc1d4; --p3: #56616a;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --ground: #14191c; --panel: #1b2226; --ink: #e6e9e6; --dim: #a3afb6; --line: #36424a;
            --bad: #ff8a80; --warn: #e0a458; --focus: #a8c7fa; --span: rgba(255, 138, 128, .13);
            --s0: #58b0d0; --s1: #f0a35e; --s2: #b9a5f5; --s3: #6fca84; --s4: #f08bc0; --s5: #d6c94e;
            --p0: #d8b648; --p1: #3f8fb0; --p2: #a9d6e6; --p3: #a3afb6;
          }
        }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
        header { padding: .9rem 1.25rem; border-bottom: 1px solid var(--line); background: var(--panel); }
        h1 { font-size: 1.25rem; margin: 0; }
        h2 { font-size: 1rem; margin: 0 0 .25rem; }
        header p { margin: .15rem 0 0; color: var(--dim); overflow-wrap: anywhere; }
        main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); gap: 1rem;
          padding: 1rem 1.25rem; max-width: 100rem; margin: 0 auto; }
        section { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .85rem 1rem;
          min-width: 0; }
        .all { grid-column: 1 / -1; }
        section p { margin: 0 0 .6rem; color: var(--dim); font-size: .9rem; }
        code { font: .85rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; color: var(--ink); }
        dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem 1rem; margin: 0; }
        dt { color: var(--dim); font-size: .85rem; }
        dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
        small { display: block; color: var(--dim); font-size: .8rem; }
        td small { font-size: .75rem; }
        dl.facts { grid-template-columns: fit-content(45%) minmax(0, 1fr); gap: .15rem 1rem; }
        dl.facts dd { font-size: .9rem; }
        .wide { overflow-x: auto; }
        .wide > svg { display: block; width: 100%; min-width: 30rem; height: auto; }
        svg text { fill: var(--ink); font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
        svg .name { font-weight: 600; } svg .axis { fill: var(--dim); font-weight: 600; }
        svg .dim { fill: var(--dim); font-size: 11.5px; } svg .fault { fill: var(--bad); font-weight: 600; }
        .grid { stroke: var(--line); stroke-width: 1; fill: none; opacity: .7; }
        .rule { stroke: var(--dim); fill: none; }
        .mark { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 2 3; fill: none; }
        .span { fill: var(--span); } .edge { stroke: var(--bad); stroke-dasharray: 4 3; fill: none; }
        .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
        .band { stroke: none; opacity: .16; }
        .point { stroke-width: 1.8; stroke: var(--panel); paint-order: stroke; }
        .line.s0 { stroke: var(--s0); } .band.s0, .point.s0 { fill: var(--s0); }
        .line.s1 { stroke: var(--s1); stroke-dasharray: 8 3; } .band.s1, .point.s1 { fill: var(--s1); }
        .line.s2 { stroke: var(--s2); stroke-dasharray: 3 3; } .band.s2, .point.s2 { fill: var(--s2); }
        .line.s3 { stroke: var(--s3); stroke-dasharray: 9 3 2 3; } .band.s3, .point.s3 { fill: var(--s3); }
        .line.s4 { stroke: var(--s4); stroke-dasharray: 14 4; } .band.s4 { fill: var(--s4); }
        .line.s5 { stroke: var(--s5); stroke-dasharray: 1 3; } .band.s5, .point.s5 { fill: var(--s5); }
        .line.bad { stroke: var(--bad); stroke-dasharray: 5 2 1 2; } .band.bad { fill: var(--bad); }
        .point.s4 { stroke: var(--s4); fill: none; } .point.bad { stroke: var(--bad); fill: none; }
        .line.reference { stroke: var(--dim); stroke-width: 1.2; stroke-dasharray: 2 4; }
        .part { stroke: var(--panel); stroke-width: 1.5; }
        .p0 { fill: var(--p0); } .p1 { fill: var(--p1); } .p2 { fill: var(--p2); } .p3 { fill: var(--p3); }
        .legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin: .35rem 0 .2rem; font-size: .85rem; }
        .key { white-space: nowrap; }
        .sample { width: 2.2rem; height: .95rem; vertical-align: -.15em; }
        .swatch { width: .9rem; height: .9rem; vertical-align: -.1em; }
        details { margin-top: .4rem; font-size: .9rem; } summary { cursor: pointer; color: var(--dim); }
        details .wide { max-height: 24rem; overflow: auto; }
        table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; width: 100%; }
        caption { text-align: left; color: var(--dim); padding: .2rem 0; }
        th, td { vertical-align: top; text-align: right; padding: .2rem .6rem; white-space: nowrap;
          border-bottom: 1px solid var(--line); }
        th:first-child { text-align: left; padding-left: 0; } thead th { color: var(--dim); font-weight: 600; }
        tbody th { font-weight: 400; }
        td:last-child { white-space: normal; min-width: 7rem; }
        :focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
        @media print { section { break-inside: avoid; } .wide { overflow: visible; } }

        """
}
