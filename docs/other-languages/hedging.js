// Doubts responses that hedge: the scorer of docs/other-languages.md, in JavaScript.

const DEFAULTS = { hedges: ['maybe', 'perhaps', 'probably', 'possibly', 'might', 'guess'], limit: 3 };
const MOST = 2 ** 32 - 1; // as in Rust, whose `limit` is a u32

const SCHEMA = {
  type: 'object',
  additionalProperties: false,
  properties: {
    hedges: {
      description: 'Words that hedge, in lower case.',
      type: 'array',
      items: { type: 'string' },
      default: DEFAULTS.hedges,
    },
    limit: {
      description: 'Hedges at which a response is doubted fully.',
      type: 'integer',
      minimum: 1,
      maximum: MOST,
      default: DEFAULTS.limit,
    },
  },
};

function problems(settings) {
  const found = Object.keys(settings)
    .filter((key) => !Object.hasOwn(DEFAULTS, key))
    .map((key) => ({ path: key, message: 'there is no such setting' }));
  const { hedges, limit } = { ...DEFAULTS, ...settings };
  if (!Array.isArray(hedges) || !hedges.every((word) => typeof word === 'string')) {
    found.push({ path: 'hedges', message: 'must be a list of words' });
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST) {
    found.push({ path: 'limit', message: `must be a whole number from 1 to ${MOST}` });
  }
  return found;
}

/** Runs of A-Z, a-z and apostrophes, in lower case. */
const words = (text) => text.match(/[A-Za-z']+/g)?.map((word) => word.toLowerCase()) ?? [];

export const scorerApi = {
  describe: () => ({
    name: 'hedging-js',
    version: '0.1.0',
    summary: 'Doubts responses that hedge',
    dimension: 'factual',
    asks: [],
    settingsSchema: JSON.stringify(SCHEMA),
  }),

  checkSettings: (settings) => problems(JSON.parse(settings)),

  // What is thrown here becomes the fault: its `message`, and its `hint` where it has one.
  score: (settings, sample, rounds) => {
    const { hedges, limit } = { ...DEFAULTS, ...JSON.parse(settings) };
    const score = (text) => {
      const count = words(text).filter((word) => hedges.includes(word)).length;
      return { uncertainty: Math.min(count / limit, 1), notes: [{ name: 'hedges', value: count }] };
    };
    return { tag: 'done', val: sample.responses.map((response) => score(response.text)) };
  },
};
