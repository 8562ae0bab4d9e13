/* vmath.h: exp, log and their kind on vectors; included once per element type. */
