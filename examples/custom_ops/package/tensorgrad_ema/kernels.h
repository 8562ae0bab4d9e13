/* What the module exports; TG_MODULE in csrc/ema.c makes the first two. */
int tg_module_abi(void);
void tg_module_bind(const void *api);

/* x, y, gy, gx: (batch, steps, features) */
int ema_forward(int dtype, int64_t batch, int64_t steps, int64_t features, double a, const void *x, void *y);
int ema_backward(int dtype, int64_t batch, int64_t steps, int64_t features, double a, const void *gy, void *gx);
