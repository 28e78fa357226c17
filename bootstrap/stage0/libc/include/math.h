#ifndef MATH_H
#define MATH_H
double ldexp(double x, int exponent);
double fabs(double x);
float fabsf(float x);
#endif
