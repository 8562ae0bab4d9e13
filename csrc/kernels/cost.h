/* cost.h: what a kernel of an elementwise op is bound by. */
#ifndef TG_COST_H
#define TG_COST_H

enum { TG_CHEAP = 0 /* loads and stores */, TG_COSTLY = 1 /* arithmetic */ };

#endif
