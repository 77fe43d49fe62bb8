"""Time the JAX program of the same mathematics (jax_twin.py): what hand-written XLA reaches."""
import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

import common
import jax_twin as twin

OPTIONS = common.options()
SIZE = OPTIONS.size
B = common.BATCH[SIZE]
ROUNDS = 10 if SIZE == "full" else 2
CFG = twin.FULL if SIZE == "full" else twin.TINY
if jax.default_backend() != "gpu":
    CFG = dataclasses.replace(CFG, impl="xla")
RNG = np.random.default_rng(0)
STATE = {}
report = common.reporter("jax")
wait = jax.block_until_ready


def random(*shape, dtype=None, scale=1.0):
    return jnp.asarray(RNG.standard_normal(shape, np.float32) * scale, dtype or CFG.dt)


def build(fn, *args, donate=()):
    """The compiled function, and what compiling took and the program needs."""
    begun = time.perf_counter()
    made = jax.jit(fn, donate_argnums=donate).lower(*args).compile()
    memory = made.memory_analysis()
    extra = {} if memory is None else dict(temporaryGiB=memory.temp_size_in_bytes / 2**30)
    return made, dict(compileSeconds=time.perf_counter() - begun, **extra)


def peak():
    stats = jax.devices()[0].memory_stats()
    return dict(peakGiB=stats["peak_bytes_in_use"] / 2**30) if stats else {}


def timed_carry(fn, carry, *args, warm=2):
    """`fn` donates its first argument and returns the next one first."""
    samples = []
    for i in range(warm + ROUNDS):
        begun = time.perf_counter()
        result = wait(fn(carry, *args))
        carry = result[0]
        if i >= warm:
            samples.append((time.perf_counter() - begun) * 1e3)
    return common.summary(samples)


# ---------------------------------------------------------------- micro-benchmarks
def matmul():
    n = common.MATMUL[SIZE]
    a, b = random(n, n, dtype=jnp.bfloat16), random(n, n, dtype=jnp.bfloat16)
    f, _ = build(lambda a, b: a @ b, a, b)
    r = common.timed_many(lambda: f(a, b), wait, rounds=ROUNDS)
    report("matmul.square", **r, size=n, tflops=2 * n**3 / r["ms"] / 1e9)


def attention():
    s = common.ATTENTION[SIZE]
    heads = lambda n: random(s["batch"], s["length"], n, s["size"], dtype=jnp.bfloat16)
    q, k, v, dy = heads(s["heads"]), heads(s["kvHeads"]), heads(s["kvHeads"]), heads(s["heads"])
    lengths = jnp.full((s["batch"],), s["length"], jnp.int32)
    flops = 4 * s["batch"] * s["heads"] * s["length"] ** 2 * s["size"]

    def one(q, k, v):
        return jax.nn.dot_product_attention(q, k, v, query_seq_lengths=lengths, key_value_seq_lengths=lengths,
                                            implementation=CFG.impl)

    def both(q, k, v, dy):
        return jax.vjp(one, q, k, v)[1](dy)

    f, _ = build(one, q, k, v)
    r = common.timed_many(lambda: f(q, k, v), wait, rounds=ROUNDS)
    report("attention.forward", **r, **s, tflops=flops / r["ms"] / 1e9)
    g, _ = build(both, q, k, v, dy)
    r = common.timed_many(lambda: g(q, k, v, dy), wait, rounds=ROUNDS)
    report("attention.forwardBackward", **r, **s, tflops=3.5 * flops / r["ms"] / 1e9)


def dispatch():
    x = jnp.ones(8)
    small = jax.jit(jnp.negative)
    r = common.timed_dispatch(lambda: small(x), wait, rounds=ROUNDS)
    report("dispatch.jitted", **r, microseconds=r["ms"] * 1e3)
    r = common.timed(lambda: small(x), np.asarray, rounds=10 * ROUNDS)
    report("dispatch.roundTrip", **r, microseconds=r["ms"] * 1e3)
    n = common.PARAMETERS[SIZE]
    many = {f"w{i}": jnp.full(8, float(i)) for i in range(n)}
    wide = jax.jit(lambda w: w["w0"] + w[f"w{n - 1}"])
    r = common.timed_dispatch(lambda: wide(many), wait, rounds=ROUNDS)
    report("dispatch.manyParameters", **r, parameters=n)


# ---------------------------------------------------------------- model
def text_lengths():
    cond = [max(3, round(CFG.text * (i + 1) / B)) for i in range(B)]
    return np.array(cond + [2] * B, np.int32)


def weights():
    if "P" not in STATE:
        begun = time.perf_counter()
        STATE["P"], STATE["H"] = wait(twin.random_weights(CFG, jax.random.key(0, impl="rbg"), CFG.dt))
        count = sum(x.size for x in jax.tree.leaves((STATE["P"], STATE["H"])))
        report("rollout.weights", seconds=time.perf_counter() - begun, parameters=count)
    return STATE["P"], STATE["H"]


def text_caches():
    """Keys and values of the text, made once a prompt, and the head's text input."""
    if "caches" not in STATE:
        P, H = weights()
        tokens = jnp.asarray(RNG.integers(0, CFG.vocab, (2 * B, CFG.text)), jnp.int32)
        f, compiled = build(functools.partial(twin.prefill_trunk, CFG), P, tokens)
        report("rollout.prefillTrunk", **common.timed(lambda: f(P, tokens), wait, rounds=3), **compiled)
        trunk_kv, hidden = f(P, tokens)
        g, compiled = build(functools.partial(twin.prefill_head, CFG), H, hidden)
        report("rollout.prefillHead", **common.timed(lambda: g(H, hidden), wait, rounds=ROUNDS), **compiled)
        STATE["caches"] = trunk_kv, g(H, hidden), hidden
    return STATE["caches"]


def latents():
    side = CFG.grid * CFG.patch
    return random(B, CFG.latent, side, side, dtype=jnp.float32)


def rollout():
    P, H = weights()
    trunk_kv, head_kv, _ = text_caches()
    steps = common.STEPS[SIZE]
    x, dt, lengths, key = latents(), jnp.full((B,), 0.08), jnp.asarray(text_lengths()), jax.random.key(1)
    step = functools.partial(twin.rollout_step, CFG)
    args = (P, H, x, jnp.full((B,), 0.3), dt, key, trunk_kv, head_kv, lengths)
    f, compiled = build(step, *args)
    r = common.timed(lambda: f(*args), wait, rounds=ROUNDS)
    report("rollout.step", **r, **compiled, **peak(), imagesPerSecond=B / (steps * r["ms"] / 1e3))

    def whole(P, H, x, times, dt, keys, trunk_kv, head_kv, lengths):
        def body(y, given):
            y, lp, h = step(P, H, y, given[0], dt, given[1], trunk_kv, head_kv, lengths)
            return y, (y, lp, h)

        return jax.lax.scan(body, x, (times, keys))

    times = jnp.stack([jnp.full((B,), i / steps + 0.01) for i in range(steps)])
    args = (P, H, x, times, dt, jax.random.split(key, steps), trunk_kv, head_kv, lengths)
    f, compiled = build(whole, *args)
    r = common.timed(lambda: f(*args), wait, rounds=min(ROUNDS, 5), warm=1)
    report("rollout.whole", **r, **compiled, **peak(), steps=steps, msPerStep=r["ms"] / steps,
           imagesPerSecond=B / (r["ms"] / 1e3))


def update():
    _, H = weights()
    hidden = text_caches()[2]
    unrolled = dataclasses.replace(CFG, unroll=True)
    heads = twin.unstack(H)
    lengths = jnp.asarray(text_lengths())
    x = latents()
    base = dict(h=random(2 * B, CFG.n + 1, CFG.hd), temb=random(2 * B, CFG.hd), x=x, x_next=x + 0.05 * latents(),
                t=jnp.full((B,), 0.3), dt=jnp.full((B,), 0.08), adv=jnp.linspace(-1, 1, B), old=jnp.linspace(1.0, 1.1, B))
    variants = {
        "update.step": dict(h_text=hidden[:B + 1], text_len=lengths,
                            text_row=jnp.asarray(np.concatenate([np.arange(B), np.full(B, B)]))),
        "update.stepOnePrompt": dict(h_text=hidden[:2], text_len=jnp.repeat(lengths[jnp.array([0, B])], B),
                                     text_row=jnp.asarray(np.repeat(np.arange(2), B))),
    }
    for name, rows in variants.items():
        data = dict(base, **rows)

        def micro(total, heads, data):
            loss = lambda heads: twin.policy_loss(unrolled, heads, data, split=True)[0]
            value, grads = jax.value_and_grad(loss)(heads)
            return jax.tree.map(lambda a, g: a + g.astype(jnp.float32), total, grads), value

        zeros = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float32), heads)
        f, compiled = build(micro, zeros, heads, data, donate=(0,))
        r = timed_carry(f, zeros, heads, data)
        report(name, **r, **compiled, **peak(), imageStepsPerSecond=B / (r["ms"] / 1e3))
    optimizer(H)


def optimizer(H):
    zeros = lambda: jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.float32), H)
    gradients = jax.tree.map(lambda x: jnp.full(x.shape, 1e-3, jnp.float32), H)
    state = (jax.tree.map(lambda x: x.astype(jnp.float32), H), zeros(), zeros())

    def step(state, gradients, number):
        p, m, v, _, _, norm = twin.adamw(state[0], gradients, state[1], state[2], number)
        return (p, m, v), norm

    f, compiled = build(step, state, gradients, jnp.float32(3), donate=(0,))
    r = timed_carry(f, state, gradients, jnp.float32(3))
    count = sum(x.size for x in jax.tree.leaves(H))
    report("update.optimizer", **r, **compiled, parameters=count, gigabytesPerSecond=32 * count / r["ms"] / 1e6)


def decode():
    dim = 96 if SIZE == "full" else 8

    def get(name, shape):
        if "gamma" in name:
            return np.ones(shape, np.float32)
        if len(shape) == 1:
            return RNG.standard_normal(shape, np.float32) * 0.02
        return RNG.standard_normal(shape, np.float32) / np.prod(shape[1:]) ** 0.5

    kinds, weights = twin.vae_weights(get, dim)
    weights = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), weights)
    side = CFG.grid * CFG.patch
    z = random(B, side, side, 16, dtype=jnp.bfloat16)
    f, compiled = build(lambda weights, z: twin.vae_decode(kinds, weights, z), weights, z)
    r = common.timed(lambda: f(weights, z), wait, rounds=ROUNDS)
    report("decode.images", **r, **compiled, **peak(), images=B, imagesPerSecond=B / (r["ms"] / 1e3))


report("versions", jax=jax.__version__, device=jax.devices()[0].device_kind)
TABLE = dict(matmul=matmul, attention=attention, dispatch=dispatch, rollout=rollout, decode=decode, update=update)
common.run_sections(TABLE, OPTIONS.sections, OPTIONS.seconds)
