// What each figure of a rollout is called, how it reads, and which limit its rule has.

const percent = (share, sign = false) => `${sign && share > 0 ? "+" : ""}${(share * 100).toFixed(Math.abs(share) < 0.1 ? 2 : 1)} %`;
const points = (value) => `${value > 0 ? "+" : ""}${value.toFixed(4)}`;

/** By name; `paired` figures are the candidate less the live version on the same requests. */
export const FIGURES = {
  probe: {
    title: "Ranking",
    help: "Mean score of known queries, in 0..1, candidate less live. Below 0 it ranks worse.",
    paired: true,
    read: points,
    limit: (rules) => -rules.margin,
  },
  agreement: {
    title: "Agreement",
    help: "How alike the two answer, in 0..1, less how alike one answers twice. Below 0 they differ; it does not say who is right.",
    paired: true,
    read: points,
    limit: (rules) => -rules.disagreement,
  },
  errors: {
    title: "Failures",
    help: "Share of requests that fail, candidate less live. Above 0 it fails more often.",
    paired: true,
    read: (value) => percent(value, true),
    limit: (rules) => rules.errors_margin,
  },
  latency: {
    title: "Slower answers",
    help: "Share of its answers that take longer than allowed. Above 50 % it is slower.",
    paired: true,
    read: (value) => percent((1 + value) / 2),
    limit: () => 0,
  },
  "live errors": { title: "People failed, live", help: "Share of people's requests that failed.", read: (value) => percent(Math.max(0, -value)) },
  "candidate errors": {
    title: "People failed, candidate",
    help: "Before the live version stood in for it.",
    read: (value) => percent(Math.max(0, -value)),
  },
  "live feedback": { title: "Chosen, live", help: "Mean reciprocal rank of what people chose.", read: points },
  "candidate feedback": { title: "Chosen, candidate", help: "Mean reciprocal rank of what people chose.", read: points },
};

/** A figure's value in its own unit. */
export const readable = (name, value) => FIGURES[name].read(value).replace("-", "−");
