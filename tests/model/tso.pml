/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The memory of x86 processors, for the models of this folder.
 *
 * A store waits in its processor's buffer, and reaches memory later, after the
 * stores before it. A load sees the newest store of its own processor, and
 * those stores of other processors that have reached memory. So a load may come
 * before an earlier store of the same processor is visible to others. A full
 * barrier waits until the buffer is empty.
 *
 * The memory is mem[]. Each model declares the buffers that it needs, and a
 * process that drains them at any time.
 *
 * A buffer holds DEPTH stores, and a store waits for room. A larger buffer
 * could only delay stores more.
 *
 * SC makes the memory sequentially consistent, which no x86 is. If spin finds
 * the error of a broken variant only without SC, the store buffers cause the
 * error.
 */
#ifndef DEPTH
#define DEPTH	2
#endif
/* Is the cell mapped where the store goes? */
#ifndef REACHES
#define REACHES(a)	true
#endif

typedef store_buffer {
	byte n;
	byte at[DEPTH];
	byte value[DEPTH]
};

byte mem[CELLS];
byte tso_i;	/* 0 between two steps */

inline store(sb, a, v)
{
#ifdef SC
	mem[a] = v
#else
	d_step {
		sb.n < DEPTH ->
		sb.at[sb.n] = a;
		sb.value[sb.n] = v;
		sb.n++
	}
#endif
}

inline load(sb, a, v)
{
	d_step {
		v = mem[a];
		tso_i = 0;
		do
		:: tso_i < sb.n ->
			if
			:: sb.at[tso_i] == a -> v = sb.value[tso_i]
			:: else
			fi;
			tso_i++
		:: else -> break
		od;
		tso_i = 0
	}
}

/* The @k-th oldest store reaches memory. */
inline drain_one(sb, k)
{
	d_step {
		sb.n > k ->
		mem[sb.at[k]] = (REACHES(sb.at[k]) -> sb.value[k] :
				 mem[sb.at[k]]);
		tso_i = k;
		do
		:: tso_i + 1 < sb.n ->
			sb.at[tso_i] = sb.at[tso_i + 1];
			sb.value[tso_i] = sb.value[tso_i + 1];
			tso_i++
		:: else -> break
		od;
		sb.n--;
		/* One state, not one for each history. */
		sb.at[sb.n] = 0;
		sb.value[sb.n] = 0;
		tso_i = 0
	}
}

inline drain(sb)
{
	drain_one(sb, 0)
}

/* A full barrier of the processor that has @sb. It makes no store visible any
 * sooner: it waits. */
#define fence(sb)	(sb.n == 0)
