//! The addresses that `fairlead manager` gives to Services of type LoadBalancer, on a real API server, as their users see
//! them. Names such as A10 and B6b are those of the scenarios that MetalLB tests end to end, X17 of what nobody tested.

mod crashes;
mod families;
mod judge;
mod life_cycle;
mod metallb;
mod moving;
mod observer;
mod pool_status;
mod pools;
mod reinstallation;
mod restarts;
mod sharing;
mod tenancy;
mod wishes;
mod world;
